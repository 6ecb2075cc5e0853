// farsight deliver serve: a small web server for a repository's public files.
import { command, execute, say } from '../command.js';
import { onStopSignal } from '../signals.js';

interface Options {
  repository: string;
  listen: string;
  json?: boolean;
}

export function deliverServeCommand() {
  return command(
    'serve',
    "serve a repository's public files over HTTP",
    'farsight deliver serve --repository policies --listen 7449',
  )
    .requiredOption('--repository <directory>', "the repository's files")
    .option('--listen <address>', 'port, or ADDRESS:PORT to be reached from other computers', '7449')
    .action((options: Options) =>
      execute(
        options.json,
        () => run(options),
        () => {},
      ),
    );
}

async function run({ repository, listen }: Options): Promise<{ url: string }> {
  const { servePolicies } = await import('../../bridge/policyServer.js');
  const { listenAddress } = await import('../../bridge/httpEdge.js');
  const { PolicyRepository } = await import('../../bridge/policyRepository.js');
  PolicyRepository.open({ directory: repository, keys: [] });
  const { url, stop } = await servePolicies(repository, listenAddress(listen, '--listen'));
  say(`serving '${repository}': farsight control --deliver ${url} --trust 1.root.json --slots slots`);
  await new Promise<void>((resolve) => {
    onStopSignal(() => resolve());
  });
  await stop();
  return { url };
}

// farsight inspect: the manifest inside a policy file.
import { readPolicyFile } from '../../contract/policyFile.js';
import { command, execute } from '../command.js';

export function inspectCommand() {
  return command(
    'inspect',
    'show the manifest inside a policy file',
    'farsight inspect runs/hopper/policy.onnx --json',
  )
    .argument('<policy>', 'the policy file')
    .action((path: string, options: { json?: boolean }) =>
      execute(
        options.json,
        async () => readPolicyFile(path).manifest,
        (manifest) => {
          const { selfCheck, ...shown } = manifest;
          console.log(JSON.stringify(shown, null, 2));
          console.log(`self-check: ${selfCheck.length} pairs of observation and action`);
        },
      ),
    );
}

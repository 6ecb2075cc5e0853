// farsight inspect: the manifest inside a policy file, for people with its limits as a table.
import { readPolicyFile } from '../../contract/policyFile.js';
import { command, execute } from '../command.js';
import { limitsTable } from '../limitsTable.js';

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
          const { selfCheck, safety: _, derivedLimits: __, ...shown } = manifest;
          console.log(JSON.stringify(shown, null, 2));
          console.log(`\nlimits\n${limitsTable(manifest).join('\n')}\n`);
          console.log(`self-check: ${selfCheck.length} pairs of observation and action`);
        },
      ),
    );
}

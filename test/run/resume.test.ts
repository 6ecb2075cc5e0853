// A run that was stopped in the middle of an episode, and one that was killed there, end as one that was left alone.
import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { resumeRun, startRun } from '../../trainer/run/train.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { beyondOptions, tinyRun } from '../mpdp/tiny.js';
import { checkpointOf, filesOf, stopAt } from './runFiles.js';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);
const engine = () => new CompiledEngine({ threads: 1, device: 'cpu' });

/** A pendulum whose commands have every limit of their change, and whose motor builds its force up; one long episode. */
const limitedPendulum = path('limited-pendulum.mjs');
writeFileSync(
  limitedPendulum,
  `import pendulum from '${new URL('../../trainer/sim/tasks/inverted-pendulum.js', import.meta.url)}';
export default {
  ...pendulum,
  name: 'limited-pendulum',
  terminated: () => false,
  mjcf: pendulum.mjcf.replace(/<motor ([^>]*)\\/>/, '<general dyntype="filterexact" dynprm="0.05" $1/>'),
  safety: { joints: [{ joint: 'slider', commandRate: 20, commandAcceleration: 300, commandJerk: 4000 }] },
};`,
);

const smoke = tinyRun;
const fast = { ...tinyRun, ...beyondOptions };
for (const [task, settings, options] of [
  [
    limitedPendulum,
    'smoke, with a replay buffer that loses transitions between two checkpoints',
    { ...smoke, replaySize: 50 },
  ],
  [limitedPendulum, 'fast', fast],
  ['hopper', 'smoke', smoke],
  ['half-cheetah', 'fast', fast],
  [
    'humanoid',
    'fast, with β and a threshold from the replay buffer',
    { ...fast, regularization: 0.1, thresholdFrom: 'replay' },
  ],
] as const) {
  const name = `${task.replace(/.*\/|\.mjs$/g, '')}, as in ${settings}`;
  test(`${name}: stopped, or killed, it goes on to the last bit`, async () => {
    const config = {
      task,
      preset: 'smoke',
      seed: 4,
      options: { ...options, steps: 120, evaluateEvery: 60 },
    };
    // As kill -9 leaves it: what was done after the last line of metrics is lost, and done again.
    const killed = path(`${name}, killed`);
    await startRun(path(name), config, engine(), {
      onStep: (done) => {
        if (done === 77) cpSync(path(name), killed, { recursive: true });
      },
    });
    const expected = filesOf(path(name));
    const inEpisode = (run: string) => checkpointOf(run).header.position.episodeSteps > 0;
    assert.ok(inEpisode(killed), 'killed in the middle of an episode');
    await resumeRun(killed, engine());
    assert.deepEqual(filesOf(killed), expected);

    const stopped = path(`${name}, stopped`);
    await startRun(
      stopped,
      config,
      engine(),
      stopAt((steps) => steps === 96),
    );
    assert.ok(inEpisode(stopped), 'stopped in the middle of an episode');
    await resumeRun(stopped, engine());
    assert.deepEqual(filesOf(stopped), expected);
  });
}

test('stopped in the middle of a training of the model, or of an evaluation, it does that again', async () => {
  // Episodes for some turns of the event loop.
  const options = { ...tinyRun, steps: 120, evaluateEvery: 60, evaluationEpisodes: 400 };
  const config = { task: 'inverted-pendulum', preset: 'smoke', seed: 4, options };
  await startRun(path('undisturbed'), config, engine());
  const expected = filesOf(path('undisturbed'));
  // Step 60 takes four parts: itself, the model's training, an update, an evaluation.
  for (const [part, modelDue, turns] of [
    [1, true, 5],
    [3, false, 2],
  ] as const) {
    const stopped = path(`stopped in part ${part}`);
    const stop = new AbortController();
    let parts = 0;
    await startRun(stopped, config, engine(), {
      stop: stop.signal,
      onStep: (done) => {
        if (done === 60 && ++parts === part) inTurns(turns, () => stop.abort());
      },
    });
    const { position } = checkpointOf(stopped).header;
    assert.deepEqual(
      [position.environmentSteps, position.modelDue, position.modelFit === null, position.measuredAt],
      [60, modelDue, modelDue, 0],
    );
    await resumeRun(stopped, engine());
    assert.deepEqual(filesOf(stopped), expected);
  }
});

/** Does `work` after so many turns of the event loop. */
function inTurns(turns: number, work: () => void): void {
  if (turns === 0) work();
  else setImmediate(() => inTurns(turns - 1, work));
}

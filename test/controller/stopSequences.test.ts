// Random sequences of what operators, peers, sensors, policies and clocks do: after a stop nothing of the policy leaves
// until a rearm that every source allows, the mode never leaves its machine, and the last command is safe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, MODES, type Mode, WORD } from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { interfaceSchema } from '../../contract/terms.js';
import { StopTopic } from '../../controller/ros/link/stopTopic.js';
import { generator } from '../fixtures/generator.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';
import { StopInbox } from '../ros/memoryTopics.js';

const RATE = 500;
const FALSE = Uint8Array.of(0, 1, 0, 0, 0);
const TRUE = Uint8Array.of(0, 1, 0, 0, 1);
const task = interfaceSchema.parse({
  task: 'arm',
  controlRate: 100,
  observation: [
    { kind: 'jointPosition', joint: 'arm' },
    { kind: 'jointVelocity', joint: 'arm' },
  ],
  action: [{ kind: 'effort', joint: 'arm', limits: [-3, 3] }],
  safety: { joints: [{ joint: 'arm', commandRate: 100, position: [-1, 1] }] },
});

/** Where each mode may lead within a tick. */
const WAYS: Record<Mode, readonly Mode[]> = {
  unconfigured: ['inactive', 'damping', 'fault'],
  inactive: ['inactive', 'hold', 'damping', 'fault'],
  hold: ['hold', 'policy', 'damping', 'fault'],
  policy: ['policy', 'hold', 'damping', 'fault'],
  damping: ['damping', 'fault', 'hold', 'inactive'],
  fault: ['fault', 'hold', 'inactive'],
};
const isLatched = (mode: Mode) => mode === 'damping' || mode === 'fault';

test('200 random lives of a controller', () => {
  let stops = 0;
  let acted = 0;
  let refusals = 0;
  let losses = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const next = generator(seed);
    const chance = (p: number) => next() < p;
    const whenInactive = chance(0.5) ? 'silent' : 'hold';
    const stepped = steppedLoop(
      task,
      RATE,
      (action) => action.fill(chance(0.001) ? Number.NaN : 2 * next() + 1),
      {
        whenInactive,
        guarded: true,
        exclusive: true,
        blendTime: 0.01,
        heartbeatTimeout: 100,
        initialFault: chance(0.1) ? FAULTS.indexOf('management lost') : 0,
      },
    );
    const { loop, link, words, stop, now } = stepped;
    const inboxes = [new StopInbox(), new StopInbox()] as const;
    const topic = new StopTopic(inboxes, { timeout: chance(0.3) ? 0.2 : undefined }, stop, () => {});
    /** The newest word of each publisher, and whether a stop came that no rearm has ended. */
    const newest = new Map<number, boolean>();
    let unheard: { publisher: number; stop: boolean }[] = [];
    let pending = false;
    let asked = false;
    let sent = 0;
    const { publish } = link.commands;
    link.commands.publish = function () {
      sent++;
      publish.call(this);
    };
    const guardLooks = () => {
      topic.look(now() / 1e9);
      for (const { publisher, stop: says } of unheard) {
        newest.set(publisher, says);
        if (says) {
          pending = true;
          stops++;
        }
      }
      unheard = [];
      stop.beat();
    };
    let before: Mode = 'unconfigured';
    let silent = 0;
    for (let tick = 0; tick < 600; tick++) {
      // Three publishers: a reliable button, one whose messages are not sent again, a watchdog.
      for (const publisher of [0, 1, 2]) {
        if (!chance(publisher === 2 ? 0.3 : 0.03)) continue;
        for (let i = 0; i <= 3 * next(); i++) {
          const says = publisher !== 2 && chance(0.15);
          if (publisher !== 1) inboxes[0].say(publisher, says ? TRUE : FALSE);
          inboxes[1].say(publisher, says ? TRUE : FALSE);
          unheard.push({ publisher, stop: says });
        }
      }
      silent = chance(0.005) ? 30 : silent - 1;
      if (silent <= 0 && chance(0.8)) guardLooks();
      if (chance(0.003)) {
        stop.press();
        pending = true;
        stops++;
      }
      stop.commandPublishers = chance(0.002) ? 2 : 1;
      const bereft = before === 'policy' && (stop.commandPublishers > 1 || stop.lost);
      if (bereft) losses++;

      if (chance(0.2)) words[WORD.activate] = 1;
      if (chance(0.01)) words[WORD.activate] = 0;
      if (chance(0.002)) words[WORD.trip] = FAULTS.indexOf('management lost');
      if (chance(0.9)) words[WORD.heartbeat]++;
      asked = chance(0.1);
      if (asked) {
        const allowed = [...newest.values()].every((says) => !says);
        assert.equal(stop.release(), allowed, `seed ${seed}, tick ${tick}`);
        if (!allowed) refusals++;
        else pending = false;
        // Even one who does not ask for leave.
        words[WORD.rearm]++;
      }
      if (tick > 5 && chance(0.97)) stepped.sense([chance(0.001) ? 2 : 0.01 * Math.sin(tick)], [0]);
      if (chance(0.001)) link.sensors.writable[SENSOR.vectors] = Number.NaN;
      stepped.delay(chance(0.01) ? 1e7 * next() : 0, 0);

      sent = 0;
      loop.tick();
      const mode = stepped.mode();
      const at: string = `seed ${seed}, tick ${tick}: ${before} → ${mode} (${stepped.fault()})`;
      assert.ok(WAYS[before].includes(mode), at);
      if (isLatched(before) && !isLatched(mode)) assert.ok(asked && !pending, at);
      if (pending) {
        assert.ok(isLatched(mode), at);
        assert.equal(stepped.command()[0], 0, at);
      }
      if (isLatched(before)) assert.notEqual(mode, 'policy', at);
      if (bereft) assert.ok(isLatched(mode), at);
      if (mode === 'policy') {
        acted++;
        assert.equal(sent, 1, at);
      }
      if (mode === 'inactive') assert.equal(sent, 0, at);
      assert.ok(Math.abs(stepped.command()[0]) <= 3, at);
      before = mode;
    }
    const inCharge = sent > 0;
    words[WORD.stop] = 1;
    loop.run();
    if (inCharge) {
      const last = link.commands.read();
      assert.deepEqual([MODES[last[COMMAND.mode]], last[COMMAND.vectors]], ['damping', 0], `seed ${seed}`);
    }
  }
  // The sequences went where it matters.
  assert.ok(
    stops > 1000 && acted > 10_000 && refusals > 500 && losses > 20,
    `${stops} ${acted} ${refusals} ${losses}`,
  );
});

// Which missed ticks the loop missed alone, told from cyclictest's late wake-ups.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ROW } from '../../contract/loop.js';
import { compareMisses, missedByThread, missOf } from '../../launch/bench/missedTicks.js';

const PERIOD = 0.002;
const SPARE = 0.0004;

/** A trace row; `scheduled` in periods since the start of the test, times in ms. */
function row(scheduled: number, values: { missed?: number; wake?: number; infer?: number } = {}) {
  const { missed = 0, wake = 0.03, infer = 0.05 } = values;
  const row = new Float64Array(ROW.vectors);
  row[ROW.scheduled] = 100 + scheduled * PERIOD;
  row[ROW.missed] = missed;
  row[ROW.wake] = wake * 1e6;
  row[ROW.infer] = infer * 1e6;
  row[ROW.total] = (wake + infer) * 1e6;
  return row;
}

/** A wake-up of cyclictest, in ms since the start of the test. */
const late = (thread: number, due: number, woke: number) => ({
  thread,
  due: 100 + due / 1000,
  woke: 100 + woke / 1000,
});

function missed(now: Float64Array, before: Float64Array) {
  const miss = missOf(now, before, PERIOD);
  assert.ok(miss);
  return miss;
}

describe('missed ticks beside cyclictest', () => {
  // Asleep at 20 ms until 24.1 ms: the ticks of 20 and 22 are missed, and that of 24 runs.
  const asleep = missed(row(12, { missed: 2, wake: 4.1 }), row(9));
  // The tick of 40 ms works until 42.5 ms: that of 42 is missed, for want of the period from 40 on.
  const overrun = missed(row(22, { missed: 1 }), row(20, { infer: 2.47 }));

  it('tells the periods that were missed, how late and where', () => {
    assert.equal(missOf(row(5), row(4), PERIOD), undefined);
    assert.deepEqual(
      [asleep, overrun].map(({ periods, late, phase }) => [
        periods.map((start) => Math.round((start - 100) * 1e6)),
        Math.round(late * 1e6),
        phase,
      ]),
      [
        [[20_000, 22_000], 4100, 'wake'],
        [[40_000], 2500, 'infer'],
      ],
    );
  });

  it('shares with cyclictest what kept one of its threads waiting as long', () => {
    const waits = [late(1, 20.2, 24.08), late(0, 40.3, 42.4)];
    const { unshared, ...counts } = compareMisses([asleep, overrun], waits, PERIOD, SPARE);
    assert.deepEqual(counts, {
      missed: 3,
      missEvents: 2,
      sharedEvents: 2,
      missedAlone: 0,
      missedUndisturbed: 0,
    });
    assert.deepEqual(unshared, []);
  });

  it('leaves to the loop what no single thread of cyclictest waited for', () => {
    const waits = [late(0, 20.1, 22.3), late(0, 40.1, 41.1), late(1, 41, 42.5)];
    const { unshared, ...counts } = compareMisses([asleep, overrun], waits, PERIOD, SPARE);
    assert.deepEqual(counts, {
      missed: 3,
      missEvents: 2,
      sharedEvents: 0,
      missedAlone: 2,
      missedUndisturbed: 0,
    });
    assert.deepEqual(
      unshared.map(({ missed, alone, late, phase, cyclictest }) => [missed, alone, late, phase, cyclictest]),
      [
        [2, 1, 4100, 'wake', 300],
        [1, 1, 2500, 'infer', 1000],
      ],
    );
    assert.equal(compareMisses([overrun], [late(0, 42.1, 44)], PERIOD, SPARE).missedUndisturbed, 1);
  });

  it("counts what cyclictest would have missed at the loop's own deadlines", () => {
    const waits = [late(0, 19.9, 24.1), late(2, 20.1, 23.9), late(2, 30.1, 36.1)];
    assert.deepEqual(missedByThread(waits, 3, 100, PERIOD), [2, 0, 2]);
  });
});

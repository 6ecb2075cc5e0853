// The emergency stop's topic on messages in memory: every message counts, each publisher has its own word, silence is noticed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EmergencyStop } from '../../controller/emergencyStop.js';
import { StopTopic } from '../../controller/ros/link/stopTopic.js';
import { StopInbox } from './memoryTopics.js';

const FALSE = Uint8Array.of(0, 1, 0, 0, 0);
const TRUE = Uint8Array.of(0, 1, 0, 0, 1);

function setUp(timeout?: number) {
  const stop = new EmergencyStop();
  const reliable = new StopInbox();
  const bestEffort = new StopInbox();
  const pressed: string[] = [];
  const topic = new StopTopic([reliable, bestEffort], { timeout }, stop, (by) => pressed.push(by));
  let now = 100;
  return {
    stop,
    pressed,
    reliable,
    bestEffort,
    /** A publisher says something, on both subscriptions as a reliable one's messages come, or on one. */
    say(publisher: number, bytes: Uint8Array, loses = false) {
      if (!loses) reliable.say(publisher, bytes);
      bestEffort.say(publisher, bytes);
    },
    match(publishers: number) {
      reliable.matched = bestEffort.matched = publishers;
    },
    look(seconds = 0.01) {
      now += seconds;
      topic.look(now);
    },
  };
}

/** Another goes on saying false: what the one that left said stands for a second, and no longer. */
function takenBackAfterAWhile({ stop, say, look }: ReturnType<typeof setUp>): void {
  for (let i = 0; i < 50; i++) {
    say(2, FALSE);
    look();
    assert.equal(stop.release(), false);
  }
  for (let i = 0; i < 90; i++) {
    say(2, FALSE);
    look();
  }
  assert.equal(stop.release(), true);
}

test('true and then false before anybody looked is a stop; anything but a clear false is one', () => {
  for (const message of [TRUE, Uint8Array.of(0, 1, 0, 0, 7), Uint8Array.of(0, 1), new Uint8Array(200)]) {
    for (const loses of [false, true]) {
      const { stop, say, look, pressed } = setUp();
      say(1, FALSE, loses);
      look();
      assert.equal(stop.set, false);
      say(1, message, loses);
      for (let i = 0; i < 10; i++) say(1, FALSE, loses);
      look();
      assert.equal(stop.set, true);
      assert.ok(pressed.every((by) => by === 'topic /stop') && pressed.length > 0);
      assert.equal(stop.held, 0);
      assert.equal(stop.release(), true);
      look();
      assert.equal(stop.set, false);
    }
  }
});

test("a watchdog's false does not take back a button's true", () => {
  const { stop, say, look, match } = setUp();
  match(2);
  say(1, TRUE, true);
  for (let i = 0; i < 300; i++) {
    say(2, FALSE);
    look();
    assert.equal(stop.held, 1);
    assert.equal(stop.release(), false, 'the button is still pressed');
  }
  say(1, FALSE, true);
  look();
  assert.equal(stop.set, true, 'until a person rearms');
  assert.equal(stop.release(), true);
  assert.equal(stop.set, false);
});

test('an old copy on the other subscription does not count as a newer word', () => {
  const { stop, reliable, bestEffort, look } = setUp();
  reliable.say(1, FALSE);
  look();
  reliable.say(1, TRUE);
  look();
  bestEffort.say(1, FALSE);
  look();
  assert.equal(stop.release(), false);
});

test('the word of a publisher that left stands until another says false after that', () => {
  const topic = setUp();
  const { stop, say, look, match } = topic;
  match(2);
  say(2, FALSE);
  look();
  match(3);
  say(1, TRUE);
  look();
  match(2);
  // The watchdog goes on; the one who said true is silent, and so is a button that never said anything.
  takenBackAfterAWhile(topic);

  say(3, TRUE);
  look();
  match(0);
  for (let i = 0; i < 200; i++) look();
  assert.equal(stop.release(), false, 'nobody has said false');
  match(1);
  say(4, FALSE);
  look();
  assert.equal(stop.release(), true);
});

test('one that came, said stop and left between two looks is no button that is held for ever', () => {
  for (const late of [false, true]) {
    const topic = setUp();
    const { say, look, match } = topic;
    match(2);
    say(2, FALSE);
    look();
    match(3);
    if (!late) say(1, TRUE);
    match(2);
    look();
    // The news that it left may be faster than what it said.
    if (late) say(1, TRUE);
    takenBackAfterAWhile(topic);
  }
});

test('nor is one that says stop and leaves while somebody looks', () => {
  const topic = setUp();
  const { bestEffort, say, look, match } = topic;
  match(2);
  say(2, FALSE);
  look();
  match(3);
  const take = bestEffort.take.bind(bestEffort);
  // Both subscriptions were just emptied.
  bestEffort.take = () => {
    const length = take();
    if (length > 0) return length;
    bestEffort.take = take;
    say(1, TRUE);
    match(2);
    return 0;
  };
  look();
  look(0.5);
  takenBackAfterAWhile(topic);
});

test('it must be heard: a publisher, and within its timeout', () => {
  const { stop, say, look, match } = setUp(0.5);
  match(0);
  look();
  assert.deepEqual([stop.heard, stop.lost, stop.publishers], [false, false, 0]);
  match(1);
  look();
  assert.equal(stop.heard, false, 'it has said nothing yet');
  say(1, FALSE);
  look();
  assert.deepEqual([stop.heard, stop.lost], [true, false]);
  look(0.4);
  assert.equal(stop.heard, true);
  look(0.2);
  assert.deepEqual([stop.heard, stop.lost], [false, true]);
  say(1, FALSE);
  look();
  assert.deepEqual([stop.heard, stop.lost], [true, false]);
  match(0);
  look();
  assert.deepEqual([stop.heard, stop.lost], [false, true], 'whoever could press it has left');

  const quiet = setUp();
  quiet.look();
  assert.equal(quiet.stop.heard, true, 'without a timeout a publisher may be silent');
});

test('a flood from more publishers than are remembered forgets no stop', () => {
  const { stop, say, look, match } = setUp();
  match(300);
  say(1, TRUE);
  for (let publisher = 2; publisher < 300; publisher++) {
    say(publisher, FALSE);
    if (publisher % 20 === 0) look();
  }
  assert.equal(stop.release(), false);
});

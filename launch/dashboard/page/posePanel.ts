// The panel with the robot: its live pose as it comes, and the last half minute before a fault, played again.
import type { PageMessage, Replay, RobotModel } from '../../../bridge/pageMessages.js';
import { element } from './elements.js';
import type { RobotView } from './robotView.js';

type Pose = Extract<PageMessage, { kind: 'pose' }>;
type Titles = Extract<PageMessage, { kind: 'replays' }>['replays'];

/** Milliseconds between two drawings: a pose comes every 40. */
const DRAW_MS = 33;
/** The same of the slider and of the mark on the time line while a replay goes on. */
const SHOW_MS = 200;
/** Without a pose for so long it is not live, ms. */
const SILENT_MS = 2000;
/** ms after the last move of pointer or pose until the camera has come to rest. */
const STILL_MS = 1500;

export class PosePanel {
  /** The robot that is drawn. */
  view: RobotView | undefined;
  /** What is played; undefined while the pose is live. */
  replay: Replay | undefined;
  /** s since 1970, of what is played. */
  place = 0;
  playing = false;
  readonly #moved: (time: number | undefined) => void;
  #robot = '';
  #task: string | undefined;
  #pose: Pose | undefined;
  #heard = -Infinity;
  #touched = 0;
  #drawn = 0;
  #shown = 0;
  #last = 0;

  /** `moved` hears where the replay is, s since 1970; undefined when there is none any more. */
  constructor(moved: (time: number | undefined) => void) {
    this.#moved = moved;
    element('play').addEventListener('click', () => this.toggle());
    element<HTMLInputElement>('place').addEventListener('input', ({ target }) => {
      this.playing = false;
      this.#goTo(Number((target as HTMLInputElement).value) + this.replay!.time);
    });
    element('stage').addEventListener('pointermove', () => {
      this.#touched = performance.now();
    });
    const frame = (time: number) => {
      requestAnimationFrame(frame);
      this.#frame(time);
    };
    requestAnimationFrame(frame);
  }

  /** Shows another robot, or none of a task that is not known yet. */
  show(robot: string, task: string | undefined): void {
    if (robot === this.#robot && task === this.#task) return;
    this.#robot = robot;
    this.live();
    this.#pose = undefined;
    this.#heard = -Infinity;
    element('pose').hidden = task === undefined;
    if (task === this.#task) return;
    this.#task = task;
    this.view?.dispose();
    this.view = undefined;
    element('stage').replaceChildren();
    if (task !== undefined) void this.#load(task);
  }

  take(pose: Pose): void {
    this.#pose = pose;
    this.#heard = performance.now();
  }

  /** What can be played. */
  offer(titles: Titles): void {
    const buttons = titles.toReversed().map(({ fault, time }) => {
      const button = document.createElement('button');
      button.textContent = `▶ ${fault}, ${new Date(1000 * time).toLocaleTimeString()}`;
      button.title = 'Play the last 30 s before it';
      button.addEventListener('click', () => void this.#open(time));
      return button;
    });
    const live = document.createElement('button');
    live.textContent = 'Live';
    live.addEventListener('click', () => this.live());
    element('replays').replaceChildren(...(buttons.length > 0 ? [live, ...buttons] : []));
  }

  live(): void {
    this.replay = undefined;
    element('player').hidden = true;
    this.#moved(undefined);
  }

  toggle(): void {
    if (!this.replay) return;
    if (!this.playing && this.place >= this.replay.poses.at(-1)!.time) this.place = this.replay.poses[0].time;
    this.playing = !this.playing;
    this.#showPlace();
  }

  async #open(time: number): Promise<void> {
    const robot = this.#robot;
    const response = await fetch(`/replay?robot=${encodeURIComponent(robot)}&fault=${time}`);
    if (!response.ok || robot !== this.#robot) return;
    this.replay = (await response.json()) as Replay;
    const { poses } = this.replay;
    const slider = element<HTMLInputElement>('place');
    slider.min = String(poses[0].time - time);
    slider.max = String(poses.at(-1)!.time - time);
    element('player').hidden = false;
    this.playing = true;
    this.#goTo(poses[0].time);
  }

  #goTo(time: number): void {
    this.place = time;
    this.#moved(time);
    this.#showPlace();
  }

  #showPlace(): void {
    const { replay, place } = this;
    if (!replay) return;
    const relative = place - replay.time;
    element('play').textContent = this.playing ? 'Pause' : 'Play';
    element<HTMLInputElement>('place').value = String(relative);
    const sign = relative < 0 ? '−' : '+';
    element('placeText').textContent = `${sign}${Math.abs(relative).toFixed(1)} s`;
  }

  async #load(task: string): Promise<void> {
    const note = (text: string) => {
      if (task === this.#task) element('poseNote').textContent = text;
    };
    note('MuJoCo is starting …');
    try {
      const response = await fetch(`/model?task=${encodeURIComponent(task)}`);
      if (!response.ok) {
        note(`no MJCF is known of '${task}': start the monitor with --task FILE`);
        return;
      }
      const model = (await response.json()) as RobotModel;
      const { RobotView } = await import('./robotView.js');
      if (task !== this.#task) return;
      this.view = await RobotView.create(element('stage'), model);
      note('');
    } catch (error) {
      note(`cannot be drawn: ${(error as Error).message}`);
    }
  }

  #frame(time: number): void {
    const seconds = Math.min(0.25, (time - this.#last) / 1000);
    this.#last = time;
    const { replay, view } = this;
    if (replay && this.playing) {
      const end = replay.poses.at(-1)!.time;
      const speed = Number(element<HTMLSelectElement>('speed').value);
      this.place = Math.min(end, this.place + speed * seconds);
      this.playing = this.place < end;
      if (time - this.#shown > SHOW_MS || !this.playing) {
        this.#shown = time;
        this.#goTo(this.place);
      }
    }
    if (!view || time - this.#drawn < DRAW_MS || document.hidden) return;
    const silent = time - this.#heard;
    const moves = view.stale || replay || silent < STILL_MS || time - this.#touched < STILL_MS;
    if (!moves && this.#drawn > this.#heard + STILL_MS) return;
    if (replay) view.put(replay.joints, poseAt(replay, this.place));
    else if (this.#pose) view.put(this.#pose.joints, this.#pose.position);
    if (view.draw(time)) this.#drawn = time;
    const note = replay ? replay.fault : silent < SILENT_MS ? 'live' : 'no pose comes';
    if (element('poseNote').textContent !== note) element('poseNote').textContent = note;
  }
}

/** Between the two poses around `time`. */
export function poseAt({ poses }: Replay, time: number): (number | null)[] {
  const next = Math.max(
    1,
    poses.findIndex((pose) => pose.time >= time),
  );
  const [a, b] = [poses[next - 1], poses[Math.min(next, poses.length - 1)]];
  const share = b.time > a.time ? Math.min(1, Math.max(0, (time - a.time) / (b.time - a.time))) : 0;
  return a.position.map((from, i) => {
    const to = b.position[i];
    return from === null || to === null ? (from ?? to) : from + share * (to - from);
  });
}

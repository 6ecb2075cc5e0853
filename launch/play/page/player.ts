// The page as a whole: the session in step with the clock, drawn and plotted; what people and tests may do with it.
import { networkOf } from '../network.js';
import { DATA_ID, type PageData, type TaskFunctions, unpackTask } from '../pageData.js';
import { Session } from '../session.js';
import { Strips, shown } from './plots.js';
import { Stage } from './stage.js';

/** Most milliseconds of physics in one picture: a robot too heavy for this computer moves slower than the clock. */
const BUDGET = 40;
/** Frames a second below which the picture gets coarser, and the coarsest, in pixels a pixel of the page. */
const SMOOTH = 24;
const COARSEST = 0.5;
/** Seconds of the clock that one frame makes up for at most: after a pause of the whole page it does not run ahead. */
const LONGEST_FRAME = 0.25;
/** Between two drawings of the plots, which are read and not watched, milliseconds. */
const PLOT_MS = 100;
/** Seconds that the plots show. */
const PLOTTED = 4;
/** Seconds of a push by the button, simulated, and how far away its spring begins, m. */
const SHOVE = { seconds: 0.25, reach: 0.35 };

export const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

export class Player {
  readonly session: Session;
  readonly stage: Stage;
  readonly data: PageData;
  running = true;
  speed = 1;
  /** Frames a second, and simulated seconds a second, lately. */
  rate = 0;
  pace = 0;
  readonly #plots: { strips: Strips; values: () => ArrayLike<number>[] }[];
  readonly #actuators: Float64Array;
  /** Pixels a pixel of the page. */
  #ratio = Math.min(2, window.devicePixelRatio);
  #last = 0;
  #plotted = 0;
  #owed = 0;
  #pushEnds = Infinity;
  #returns = 0;
  #frames = { since: 0, drawn: 0, simulated: 0 };
  #stopped = '';

  static async create(functions: TaskFunctions): Promise<Player> {
    const data: PageData = JSON.parse(element(DATA_ID).textContent);
    const task = unpackTask(data, functions);
    const session = await Session.create(task, data.manifest, networkOf(data.graph), data.seed);
    return new Player(data, session);
  }

  private constructor(data: PageData, session: Session) {
    this.data = data;
    this.session = session;
    const canvas = document.querySelector('#stage canvas') as HTMLCanvasElement;
    this.stage = new Stage(canvas, session.body.physics.parts);
    this.#actuators = session.command;
    const { observation, action, controlRate } = session.task;
    const length = Math.max(50, Math.round(PLOTTED * controlRate));
    const names = observation.map(({ kind, joint }) => (kind === 'jointVelocity' ? `${joint} ′` : joint));
    this.#plots = [
      {
        strips: new Strips(element('rewardPlot'), {
          length,
          names: ['reward'],
          colours: ['--accent'],
          row: 90,
        }),
        values: () => [[session.reward]],
      },
      {
        strips: new Strips(element('actionPlot'), {
          length,
          names: action.map(({ joint }) => joint),
          colours: ['--accent', '--warm'],
          ranges: action.map(({ limits }) => limits),
        }),
        values: () => [session.action, this.#actuators],
      },
      {
        strips: new Strips(element('observationPlot'), { length, names, colours: ['--accent'] }),
        values: () => [session.observation],
      },
    ];
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const theme = () => this.stage.setTheme(dark.matches ? 'dark' : 'light');
    dark.addEventListener('change', theme);
    theme();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  /** Follows the display's clock from now on. */
  run(): void {
    const frame = (time: number) => {
      this.#frame(time);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  /** Simulates `seconds`, or as much of them as fits into `budget` milliseconds; returns what is left. */
  simulate(seconds: number, budget = Infinity): number {
    const { session } = this;
    const { timestep } = session.body;
    const end = performance.now() + budget;
    let left = seconds;
    while (left >= timestep) {
      this.#advance();
      left -= timestep;
      if (performance.now() > end) return 0;
    }
    return left;
  }

  /** To the end of one step of the policy. */
  step(): void {
    const most = 10 * this.session.task.frameSkip;
    for (let i = 0; i < most && !this.#advance(); i++);
    this.show();
  }

  restart(seed = this.session.seed): void {
    this.session.restart(seed);
    this.#owed = 0;
    this.#returns = 0;
    for (const { strips } of this.#plots) strips.clear();
    this.show();
  }

  /** Pushes the robot's first body for a moment, along `direction` in the world. */
  shove(direction: readonly number[]): void {
    const { data } = this.session.body.physics.parts;
    const place: Float64Array = data.xipos.subarray(3, 6);
    const target = Array.from(place, (value, i) => value + SHOVE.reach * direction[i]);
    this.session.push = { body: 1, point: [0, 0, 0], target };
    this.#pushEnds = this.session.time + SHOVE.seconds;
  }

  /** A push by hand, until it is called with none. */
  hold(push: Session['push']): void {
    this.session.push = push;
    this.#pushEnds = Infinity;
  }

  /** Draws everything as it is now. */
  show(seconds = 0): void {
    this.stage.draw(seconds, this.session.push);
    for (const { strips } of this.#plots) strips.draw();
    this.#showNumbers();
  }

  /** Words over the stage, for a moment. */
  note(text: string, bad = false): void {
    const note = element('note');
    note.textContent = text;
    note.className = bad ? 'shown bad' : 'shown';
    clearTimeout(this.#noteEnds);
    if (!bad) this.#noteEnds = window.setTimeout(() => note.classList.remove('shown'), 2600);
  }
  #noteEnds = 0;

  #advance(): boolean {
    const { session } = this;
    if (session.time >= this.#pushEnds) this.hold(undefined);
    const ended = session.advance();
    if (ended) for (const { strips, values } of this.#plots) strips.add(...values());
    return ended;
  }

  #frame(time: number): void {
    const seconds = Math.min(LONGEST_FRAME, (time - this.#last) / 1000);
    this.#last = time;
    if (this.running) {
      const before = this.session.time;
      this.#owed = this.simulate(this.#owed + seconds * this.speed, BUDGET);
      this.#frames.simulated += this.session.time - before;
    }
    this.stage.draw(seconds, this.session.push);
    this.#frames.drawn++;
    if (time - this.#frames.since > 500) {
      const elapsed = (time - this.#frames.since) / 1000;
      this.rate = this.#frames.drawn / elapsed;
      this.pace = this.#frames.simulated / elapsed;
      this.#frames = { since: time, drawn: 0, simulated: 0 };
      if (this.rate < SMOOTH && this.#ratio > COARSEST) {
        this.#ratio = Math.max(COARSEST, 0.7 * this.#ratio);
        this.#resize();
      }
    }
    if (time - this.#plotted > PLOT_MS) {
      this.#plotted = time;
      for (const { strips } of this.#plots) strips.draw();
    }
    this.#showNumbers();
  }

  #showNumbers(): void {
    const { session, data } = this;
    const { returns, task } = session;
    element('return').textContent = session.return.toFixed(1);
    element('rewardNow').textContent = `${shown(session.reward)} a step`;
    element('count').textContent =
      `step ${session.steps} of ${task.maxEpisodeSteps} · ${(session.steps / task.controlRate).toFixed(1)} s`;
    const average = data.manifest.provenance.return;
    const slow = this.running && this.pace > 0 && this.pace < 0.9 * this.speed;
    element('about').textContent = [
      average === null ? '' : `return in training ${average.toFixed(0)}`,
      `${Math.round(task.controlRate)} Hz`,
      slow ? `this computer manages ${this.pace.toFixed(2)}× at ${this.rate.toFixed(0)} frames a second` : '',
    ]
      .filter(Boolean)
      .join(' · ');
    if (returns.length > this.#returns) {
      this.#returns = returns.length;
      this.note(`episode ${returns.length}: return ${returns[returns.length - 1].toFixed(1)}`);
    }
    const stopped = session.stopped ?? '';
    if (stopped !== this.#stopped) {
      this.#stopped = stopped;
      element('rearm').hidden = stopped === '';
      if (stopped) this.note(`the robot is stopped: ${stopped}`, true);
      else element('note').classList.remove('shown');
    }
  }

  #resize(): void {
    const { clientWidth, clientHeight } = element('stage');
    if (clientWidth === 0 || clientHeight === 0) return;
    this.stage.resize(clientWidth, clientHeight, this.#ratio);
    this.show();
  }
}

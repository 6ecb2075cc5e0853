// The fleet's list: each robot's mode, how near its ticks come to their period, what it missed; one of them is chosen.
import type { RobotCard } from '../../../bridge/pageMessages.js';
import { PRESSURES } from '../../../bridge/telemetryHistory.js';
import { isLatched } from '../../../contract/loop.js';
import { element } from './elements.js';
import { soon } from './frames.js';
import { colour } from './theme.js';

/** Telemetry comes once a second; a robot that is online and longer without a word is said to be silent. */
const SILENT_MS = 3500;
/** Shares of the period at the bottom and the top of a robot's small chart. */
const BOTTOM = 0.005;
const TOP = 1.5;

class Row {
  readonly item = document.createElement('li');
  readonly button = document.createElement('button');
  readonly #name = span('name');
  readonly #state = span('state');
  readonly #numbers = span('numbers');
  readonly #canvas = document.createElement('canvas');
  readonly #pressures: number[];
  #card: RobotCard;
  #heard = performance.now();

  constructor(card: RobotCard, pressures: readonly number[]) {
    this.#card = card;
    this.#pressures = [...pressures];
    this.button.append(this.#name, this.#state, this.#canvas, this.#numbers);
    this.item.append(this.button);
    this.#name.textContent = card.robot;
  }

  take(card: RobotCard): void {
    const { telemetry } = card;
    if (telemetry && telemetry.sequence !== this.#card.telemetry?.sequence) {
      this.#heard = performance.now();
      const { window, rateHz } = telemetry;
      this.#pressures.push(window.missed > 0 ? 2 : (window.phases.total.p999 * rateHz) / 1e6);
      if (this.#pressures.length > PRESSURES) this.#pressures.shift();
    }
    this.#card = card;
  }

  get trouble(): boolean {
    const { connection, telemetry } = this.#card;
    return connection === 'lost' || (telemetry !== undefined && telemetry.fault !== 'none');
  }

  draw(): void {
    const { connection, telemetry } = this.#card;
    const silent = performance.now() - this.#heard > SILENT_MS;
    const [text, tone] = stateOf(this.#card, silent);
    if (this.#state.textContent !== text) this.#state.textContent = text;
    this.#state.className = `state ${tone}`;
    this.item.classList.toggle('away', connection !== 'online' || silent);
    if (!telemetry) return;
    const { p999 } = telemetry.window.phases.total;
    const missed = telemetry.missed > 0 ? ` · ${telemetry.missed} missed` : '';
    this.#numbers.textContent = `p99.9 ${Math.round(p999)} µs${missed}`;
    this.#drawPressures();
  }

  #drawPressures(): void {
    const canvas = this.#canvas;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(96 * ratio), Math.round(22 * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d', { willReadFrequently: true })!;
    context.clearRect(0, 0, width, height);
    const level = (share: number) =>
      Math.min(1, Math.max(0, Math.log(share / BOTTOM) / Math.log(TOP / BOTTOM))) * height;
    context.fillStyle = colour('edge');
    context.fillRect(0, height - level(1), width, ratio);
    const step = width / PRESSURES;
    for (const [i, share] of this.#pressures.entries()) {
      context.fillStyle = share > 1 ? colour('bad') : share > 0.5 ? colour('warm') : colour('accent');
      const x = width - (this.#pressures.length - i) * step;
      context.fillRect(x, height - level(share), Math.max(1, step - 0.2), level(share));
    }
  }
}

/** What a robot does, in a word or two. */
export function stateOf({ connection, telemetry }: RobotCard, silent: boolean): [text: string, tone: string] {
  if (connection !== 'online') return [connection, connection === 'lost' ? 'bad' : 'quiet'];
  if (!telemetry) return ['online', 'quiet'];
  if (silent) return ['silent', 'warm'];
  const { mode, fault } = telemetry;
  if (fault !== 'none') return [`${mode}: ${fault}`, 'bad'];
  if (isLatched(mode)) return [mode, 'bad'];
  return [mode, mode === 'policy' ? 'accent' : 'quiet'];
}

export class FleetList {
  readonly #rows = new Map<string, Row>();
  readonly #choose: (robot: string) => void;
  #chosen: string | undefined;

  /** `choose` hears the robot that the reader picks; `chosen` is the first one's name, when it is known. */
  constructor(choose: (robot: string) => void, chosen?: string) {
    this.#choose = choose;
    this.#chosen = chosen;
    // Who has gone silent says nothing.
    setInterval(() => this.#drawAll(), 2000);
  }

  get names(): string[] {
    return [...this.#rows.keys()].sort((a, b) => a.localeCompare(b));
  }

  set chosen(robot: string) {
    this.#chosen = robot;
    for (const [name, { button }] of this.#rows)
      button.setAttribute('aria-current', name === robot ? 'true' : 'false');
    this.#rows.get(robot)?.button.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  restart(): void {
    this.#rows.clear();
    element('fleet').replaceChildren();
  }

  take(card: RobotCard, pressures: readonly number[] = []): void {
    const { robot } = card;
    let row = this.#rows.get(robot);
    if (!row) {
      row = new Row(card, pressures);
      row.button.addEventListener('click', () => this.#choose(robot));
      this.#rows.set(robot, row);
      const after = this.names[this.names.indexOf(robot) + 1];
      element('fleet').insertBefore(row.item, this.#rows.get(after)?.item ?? null);
      if (robot === this.#chosen) this.chosen = robot;
    }
    row.take(card);
    soon(`fleet ${robot}`, () => row.draw());
    soon('count', () => this.#count());
  }

  #drawAll(): void {
    for (const [robot, row] of this.#rows) soon(`fleet ${robot}`, () => row.draw());
  }

  #count(): void {
    const troubles = [...this.#rows.values()].filter(({ trouble }) => trouble).length;
    element('count').textContent = `${this.#rows.size}${troubles > 0 ? `, ${troubles} in trouble` : ''}`;
  }
}

function span(className: string): HTMLSpanElement {
  const made = document.createElement('span');
  made.className = className;
  return made;
}

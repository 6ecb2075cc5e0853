// The dashboard's page: one stream of what robots say, the robot that is shown, and what keys and buttons do.
import type { Happened, PageMessage, RobotCard } from '../../../bridge/pageMessages.js';
import { type Quantile, quantileIndex, TelemetryHistory, VALUE } from '../../../bridge/telemetryHistory.js';
import { FAULTS, INTERVENTIONS, MODES, PHASES } from '../../../contract/loop.js';
import { showRecordings, showRuns, showState } from './cards.js';
import { Charts, type Shown } from './charts.js';
import { element } from './elements.js';
import { FleetList } from './fleetList.js';
import { frameTimes, restartFrameTimes, soon } from './frames.js';
import { PosePanel } from './posePanel.js';
import { colour, onTheme, phaseColour } from './theme.js';
import { SPANS, TimeView } from './timeView.js';

const EVENTS_KEPT = 1000;

const cards = new Map<string, RobotCard>();
const shown: Shown & { events: Happened[] } = {
  history: new TelemetryHistory(),
  events: [],
  phase: PHASES.indexOf('total'),
  quantile: 'p99',
};
let robot = decodeURIComponent(location.hash.slice(1)) || undefined;
let stream: EventSource | undefined;
/** Rows that came while the history was on its way. */
let early: Extract<PageMessage, { kind: 'second' }>[] | undefined;

const view = new TimeView(() => {
  charts.update();
  soon('bar', showBar);
});
const charts = new Charts(shown, view, (row) => soon('readout', () => showReadout(row)));
const pose = new PosePanel((time) => {
  shown.replayed = time;
  charts.redrawLanes();
});
const fleet = new FleetList(choose, robot);

function take(message: PageMessage): void {
  if ('robot' in message && message.robot !== robot) return;
  switch (message.kind) {
    case 'broker':
      element('broker').textContent = message.connected
        ? message.url
        : `${message.url} is away, trying again`;
      element('broker').className = message.connected ? '' : 'bad';
      break;
    case 'refused':
      element('broker').title =
        message.count > 0 ? `${message.count} malformed messages refused, the last: ${message.last}` : '';
      break;
    case 'fleet':
      fleet.restart();
      cards.clear();
      for (const card of message.robots) takeCard(card, card.pressures);
      break;
    case 'robot':
      takeCard(message.card);
      break;
    case 'runs':
      showRuns(message.runs);
      break;
    case 'events':
      shown.events = message.events;
      charts.update();
      break;
    case 'event':
      shown.events.push(message.happened);
      if (shown.events.length > EVENTS_KEPT) shown.events.shift();
      charts.redrawLanes();
      break;
    case 'replays':
      pose.offer(message.replays);
      break;
    case 'second':
      if (early) early.push(message);
      else takeSecond(message);
      break;
    case 'pose':
      pose.take(message);
  }
}

function takeCard(card: RobotCard, pressures?: readonly number[]): void {
  cards.set(card.robot, card);
  fleet.take(card, pressures);
  if (robot === undefined) choose(card.robot);
  else if (card.robot === robot) soon('state', showRobot);
}

function takeSecond({ written, time, values, heat }: Extract<PageMessage, { kind: 'second' }>): void {
  const { history } = shown;
  if (written <= history.written) return;
  if (written > history.written + 1) {
    void fetchHistory();
    return;
  }
  history.push(time, values, heat);
  view.follow(time);
  charts.update();
}

/** All that the server kept of the robot. */
async function fetchHistory(): Promise<void> {
  const wanted = robot!;
  early = [];
  const response = await fetch(`/history?robot=${encodeURIComponent(wanted)}`);
  const bytes = response.ok ? await response.arrayBuffer() : undefined;
  if (wanted !== robot) return;
  if (bytes) shown.history = TelemetryHistory.fromBytes(bytes);
  const waiting = early;
  early = undefined;
  for (const second of waiting) takeSecond(second);
  const { history } = shown;
  if (history.length > 0) view.follow(history.time(history.length - 1));
  charts.update();
}

function choose(name: string): void {
  robot = name;
  fleet.chosen = name;
  history.replaceState(null, '', `#${encodeURIComponent(name)}`);
  shown.history = new TelemetryHistory();
  shown.events = [];
  pose.show(name, cards.get(name)?.telemetry?.policy.task);
  pose.offer([]);
  listen();
  soon('state', showRobot);
  charts.update();
}

/** A stream brings all robots in brief, and the one that is shown in full; the browser opens it again by itself. */
function listen(): void {
  stream?.close();
  stream = new EventSource(robot === undefined ? '/stream' : `/stream?robot=${encodeURIComponent(robot)}`);
  stream.addEventListener('message', ({ data }) => take(JSON.parse(data)));
  stream.addEventListener('error', () => {
    element('broker').textContent = 'the monitor is away, trying again';
    element('broker').className = 'bad';
  });
  stream.addEventListener('open', () => {
    if (robot !== undefined) void fetchHistory();
  });
}

function showRobot(): void {
  const card = robot === undefined ? undefined : cards.get(robot);
  element('robot').hidden = card === undefined;
  element('empty').hidden = card !== undefined;
  if (!card) return;
  element('name').textContent = card.robot;
  showState(card);
  showRecordings(card);
  pose.show(card.robot, card.telemetry?.policy.task);
}

function showReadout(row: number | undefined): void {
  const { history, phase, events } = shown;
  const at = row ?? history.length - 1;
  if (at < 0 || at >= history.length) {
    element('readout').textContent = '';
    return;
  }
  const value = (index: number) => history.value(at, index);
  const time = history.time(at);
  const numbers = (['p50', 'p90', 'p99', 'p999', 'max'] as const).map(
    (name) => `${NAMES[name]} ${rounded(value(quantileIndex(phase, name)))}`,
  );
  const fault = FAULTS[value(VALUE.fault)];
  const changed = INTERVENTIONS.filter((_, i) => value(VALUE.interventions + i) > 0);
  const happened = events
    .filter((event) => Math.abs(event.time - time + 0.5) <= 0.5)
    .map(({ event }) => said(event));
  element('readout').textContent = [
    new Date(1000 * time).toLocaleTimeString(),
    `${numbers.join(' ')} µs`,
    `${MODES[value(VALUE.mode)]}${fault === 'none' ? '' : `: ${fault}`}`,
    `missed ${value(VALUE.missed)} of ${value(VALUE.ticks) + value(VALUE.missed)}`,
    ...changed,
    ...happened,
  ].join(' · ');
}

/** Three digits, without an exponent. */
function rounded(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function said(event: Happened['event']): string {
  switch (event.kind) {
    case 'policy loaded':
      return `policy ${event.policy.sha256.slice(0, 12)} loaded`;
    case 'mode':
      return `${event.from} → ${event.to}`;
    case 'fault':
      return `FAULT ${event.fault}`;
    case 'intervention':
      return event.intervention;
    case 'missed ticks':
      return `missed ${event.missed}`;
    case 'delivery':
      return `delivery ${event.target ?? ''} ${event.state}${event.reason === null ? '' : `: ${event.reason}`}`;
  }
}

const NAMES: Record<Quantile, string> = { p50: 'p50', p90: 'p90', p99: 'p99', p999: 'p99.9', max: 'max' };

/** Buttons of which one is chosen. */
function choices(id: string, names: readonly string[], pick: (index: number) => void): HTMLButtonElement[] {
  const buttons = names.map((name, i) => {
    const button = document.createElement('button');
    button.textContent = name;
    button.setAttribute('role', 'radio');
    button.addEventListener('click', () => pick(i));
    return button;
  });
  element(id).replaceChildren(...buttons);
  return buttons;
}

const phases = choices('phase', PHASES, pickPhase);
const spans = choices('span', ['1 min', '5 min', '15 min', '1 h'], (i) => view.live(SPANS[i]));

function pickPhase(index: number): void {
  shown.phase = index;
  charts.update();
  soon('bar', showBar);
  soon('readout', () => showReadout(undefined));
}

function showBar(): void {
  for (const [i, button] of phases.entries()) button.setAttribute('aria-checked', String(i === shown.phase));
  for (const [i, button] of spans.entries())
    button.setAttribute('aria-checked', String(SPANS[i] === view.span));
  element('live').setAttribute('aria-pressed', String(view.span !== undefined));
  for (const name of document.querySelectorAll('b.phase')) name.textContent = PHASES[shown.phase];
}

function showKeys(): void {
  const key = (id: string, entries: [name: string, tone: string][]) =>
    element(id).replaceChildren(
      ...entries.map(([name, tone]) => {
        const entry = document.createElement('span');
        entry.style.setProperty('--tone', tone);
        entry.textContent = name;
        return entry;
      }),
    );
  const period: [string, string] = ['period', colour('bad')];
  key('bandKey', [['p50, then up to p90, p99, p99.9, max', colour('accent')], period]);
  key('heatKey', [period]);
  key(
    'phaseKey',
    PHASES.map((phase, i) => [phase, phaseColour(i)]),
  );
  key('laneKey', [
    ['policy', colour('accent')],
    ['hold', colour('good')],
    ['damping', colour('warm')],
    ['fault ◆', colour('bad')],
    ['policy loaded ▲', colour('quiet')],
  ]);
}

function step(by: number): void {
  const { names } = fleet;
  const next = names[(names.indexOf(robot ?? '') + by + names.length) % names.length];
  if (next !== undefined) choose(next);
}

const hot: Record<string, () => void> = {
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  ArrowLeft: () => view.pan(-0.25),
  ArrowRight: () => view.pan(0.25),
  '+': () => view.zoom(0.5),
  '=': () => view.zoom(0.5),
  '-': () => view.zoom(2),
  l: () => view.live(view.to - view.from),
  ' ': () => pose.toggle(),
  h: () => pose.view?.home(),
};
for (const i of PHASES.keys()) hot[String(i + 1)] = () => pickPhase(i);
window.addEventListener('keydown', (event) => {
  const act = hot[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const target = event.target as HTMLElement;
  const isItsOwn = target.matches('input, select') || (target.matches('button') && event.key === ' ');
  if (!act || isItsOwn || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});
element('live').addEventListener('click', () => view.live(view.to - view.from));
element<HTMLSelectElement>('quantile').addEventListener('change', ({ target }) => {
  shown.quantile = (target as HTMLSelectElement).value as Quantile;
  charts.update();
});
onTheme(() => {
  showKeys();
  charts.update();
});
setInterval(() => {
  const { p50, p99, work } = frameTimes();
  element('frames').textContent =
    `frame ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms · own work p99 ${work.p99.toFixed(1)}, longest ${work.longest.toFixed(0)} ms`;
}, 1000);
setInterval(() => soon('readout', () => showReadout(charts.cursorRow)), 1000);

showKeys();
showBar();
listen();
Object.assign(window, { farsight: { shown, view, charts, pose, cards, frameTimes, restartFrameTimes } });

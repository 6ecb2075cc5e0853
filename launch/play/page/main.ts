// What people do on a page of `farsight play`: buttons, keys, and a pointer that pushes the robot.
import { LARGEST_SEED } from '../../../trainer/random.js';
import { faultsSchema, HEALTHY } from '../../robot/faults.js';
import type { TaskFunctions } from '../pageData.js';
import type { Limits } from '../session.js';
import { element, Player } from './player.js';

/** A value of each fault that shows what it does, where its name does not ask for one. */
const EXAMPLES: Record<keyof typeof HEALTHY, string> = {
  delay: '0.03',
  loss: '0.3',
  positionNoise: '0.02',
  velocityNoise: '0.5',
  stuck: 'all',
  jump: '0.05',
  nan: 'all',
  freeze: 'true',
  backward: '1',
  gain: '0.7',
  actuatorDelay: '0.03',
  mass: '1.3',
  jointFriction: '2',
  contactFriction: '0.3',
};

/** Starts the page with the functions of its task. */
export async function start(functions: TaskFunctions): Promise<void> {
  try {
    const player = await Player.create(functions);
    connect(player);
    Object.assign(window, { farsight: player });
    player.run();
  } catch (error) {
    element('about').textContent = `this browser cannot play it: ${(error as Error).message}`;
    throw error;
  }
}

function connect(player: Player): void {
  const { session, data } = player;
  const pause = element<HTMLButtonElement>('pause');
  const speed = element<HTMLSelectElement>('speed');
  const seed = element<HTMLInputElement>('seed');
  const limits = element<HTMLSelectElement>('limits');
  const list = element<HTMLSelectElement>('fault');
  const faults = element<HTMLInputElement>('faults');
  const run = (running: boolean) => {
    player.running = running;
    pause.textContent = running ? 'Pause' : 'Play';
  };
  const restart = (of: number) => {
    seed.value = String(of);
    player.restart(of);
    player.note(`seed ${of}`);
  };
  const suffer = (settings: string) => {
    try {
      session.setFaults(settings.split(/[\s,]+/).filter(Boolean));
      faults.setCustomValidity('');
      // Several at a time, or another value, are none of the list's.
      list.value = settings.trim();
      player.note(session.faults === 'none' ? 'the robot is healthy' : `fault: ${session.faults}`);
    } catch (error) {
      const { message } = error as Error;
      faults.setCustomValidity(message);
      player.note(message);
    }
  };
  const actions = {
    pause: () => run(!player.running),
    step: () => {
      run(false);
      player.step();
    },
    restart: () => restart(session.seed),
    next: () => restart((session.seed + 1) % (LARGEST_SEED + 1)),
    push: () => player.shove([Math.random() < 0.5 ? -1 : 1, 0, 0]),
    rearm: () => session.rearm(),
  };
  for (const [id, act] of Object.entries(actions)) element(id).addEventListener('click', act);
  seed.max = String(LARGEST_SEED);
  seed.value = String(session.seed);
  seed.addEventListener('change', () => {
    if (seed.checkValidity()) restart(seed.valueAsNumber);
    else player.note(`a seed is a whole number from 0 to ${LARGEST_SEED}`);
  });
  speed.addEventListener('change', () => {
    player.speed = Number(speed.value);
  });
  limits.addEventListener('change', () => {
    session.limits = limits.value as Limits;
  });

  const keys = Object.keys(HEALTHY) as (keyof typeof HEALTHY)[];
  list.add(new Option('none', ''));
  for (const key of keys) {
    const option = new Option(key, `${key}=${EXAMPLES[key]}`);
    option.title = faultsSchema.shape[key].description ?? '';
    list.add(option);
  }
  list.addEventListener('change', () => {
    faults.value = list.value;
    suffer(list.value);
  });
  faults.addEventListener('change', () => suffer(faults.value));

  const change = (select: HTMLSelectElement, by: number, around: boolean) => {
    const count = select.options.length;
    const to = select.selectedIndex + by;
    select.selectedIndex = around ? (to + count) % count : Math.min(count - 1, Math.max(0, to));
    select.dispatchEvent(new Event('change'));
  };
  const hot: Record<string, () => void> = {
    ' ': actions.pause,
    ArrowRight: actions.step,
    ArrowUp: () => change(speed, 1, false),
    ArrowDown: () => change(speed, -1, false),
    r: actions.restart,
    n: actions.next,
    p: actions.push,
    l: () => {
      change(limits, 1, true);
      player.note(`limits: ${limits.selectedOptions[0].text}`);
    },
    h: () => player.stage.home(),
  };
  window.addEventListener('keydown', (event) => {
    const act = hot[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const { tagName } = event.target as HTMLElement;
    const isItsOwn =
      tagName === 'INPUT' || tagName === 'SELECT' || (tagName === 'BUTTON' && event.key === ' ');
    if (!act || isItsOwn || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  // Who chose something with the mouse goes on with the keys of the page.
  const leave = ({ target }: Event) => {
    if (target instanceof HTMLElement && !target.matches('input, :focus-visible')) target.blur();
  };
  element('controls').addEventListener('click', (event) => {
    if ((event.target as HTMLElement).tagName === 'BUTTON') leave(event);
  });
  element('controls').addEventListener('change', leave);
  takeHold(player);

  const { provenance, controlRate } = data.manifest;
  element('origin').textContent =
    `${session.task.name} at ${controlRate} Hz · ${provenance.environmentSteps.toLocaleString('en-US')} steps of training, ` +
    `preset ${provenance.preset}, seed ${provenance.seed} · policy sha256 ${data.sha256.slice(0, 16)}… · Farsight, MuJoCo, three.js`;
}

/** Dragging the robot pulls it by where it was grabbed; beside it, the camera turns. */
function takeHold(player: Player): void {
  const { stage } = player;
  const canvas = stage.renderer.domElement;
  const at = ({ clientX, clientY }: PointerEvent): [number, number] => {
    const frame = canvas.getBoundingClientRect();
    return [(2 * (clientX - frame.left)) / frame.width - 1, 1 - (2 * (clientY - frame.top)) / frame.height];
  };
  let held: ReturnType<typeof stage.grab>;
  canvas.addEventListener(
    'pointerdown',
    (event) => {
      canvas.focus();
      held = stage.grab(...at(event));
      stage.turns = !held;
      if (!held) return;
      event.stopImmediatePropagation();
      canvas.setPointerCapture(event.pointerId);
      player.hold(held.push);
    },
    { capture: true },
  );
  canvas.addEventListener('pointermove', (event) => {
    if (!held) return;
    held.push.target = held.drag(...at(event));
  });
  const release = () => {
    if (!held) return;
    held = undefined;
    stage.turns = true;
    player.hold(undefined);
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
}

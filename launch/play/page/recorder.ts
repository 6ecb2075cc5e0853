// A page that makes a clip instead of being played: the robot drawn picture by picture, encoded as video or as a GIF.
import {
  BufferTarget,
  CanvasSource,
  getFirstEncodableVideoCodec,
  Mp4OutputFormat,
  Output,
  QUALITY_HIGH,
  QUALITY_MEDIUM,
  WebMOutputFormat,
} from 'mediabunny';
import { Encoder } from 'modern-gif';
import type { TaskFunctions } from '../pageData.js';
import type { ClipOptions } from '../record.js';
import { Player } from './player.js';

/** What takes pictures and makes a file of them. */
interface Sink {
  add(index: number): Promise<void>;
  finish(): Promise<ArrayBuffer>;
}

/** The clip so far; `record.ts` calls its methods from outside. */
class Recorder {
  readonly #player: Player;
  readonly #options: ClipOptions;
  readonly #picture: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #sink: Sink;
  #drawn = 0;

  static async create(player: Player, options: ClipOptions): Promise<Recorder> {
    const picture = document.createElement('canvas');
    picture.width = options.width;
    picture.height = options.height;
    const sink = options.format === 'gif' ? gifSink(picture, options) : await videoSink(picture, options);
    return new Recorder(player, options, picture, sink);
  }

  private constructor(player: Player, options: ClipOptions, picture: HTMLCanvasElement, sink: Sink) {
    this.#player = player;
    this.#options = options;
    this.#picture = picture;
    this.#context = picture.getContext('2d', { willReadFrequently: true })!;
    this.#sink = sink;
    player.stage.setTheme('light');
    player.stage.resize(options.width, options.height, 1);
    player.stage.home();
  }

  /** Makes `count` pictures more. */
  async more(count: number): Promise<void> {
    const { rate } = this.#options;
    for (let i = 0; i < count; i++) {
      this.#draw(1 / rate);
      await this.#sink.add(this.#drawn++);
      const due = this.#drawn / rate - this.#player.session.time;
      this.#player.simulate(due + this.#player.session.body.timestep / 2);
    }
  }

  /** The file, in base64. */
  async finish(): Promise<string> {
    const bytes = new Uint8Array(await this.#sink.finish());
    let text = '';
    for (let i = 0; i < bytes.length; i += 0x8000)
      text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    return btoa(text);
  }

  #draw(seconds: number): void {
    const { stage, session } = this.#player;
    stage.draw(seconds);
    const context = this.#context;
    const { width, height } = this.#picture;
    context.drawImage(stage.renderer.domElement, 0, 0, width, height);
    const size = Math.max(11, Math.round(height / 22));
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.fillStyle = '#3a4452';
    context.textBaseline = 'top';
    context.fillText(session.task.name, size, size * 0.8);
    context.textAlign = 'right';
    context.fillText(`return ${session.return.toFixed(0)}`, width - size, size * 0.8);
    context.textAlign = 'left';
  }
}

async function videoSink(
  canvas: HTMLCanvasElement,
  { format, width, height, rate }: ClipOptions,
): Promise<Sink> {
  const container = format === 'mp4' ? new Mp4OutputFormat() : new WebMOutputFormat();
  const known = format === 'mp4' ? (['avc', 'av1', 'vp9'] as const) : (['vp9', 'vp8'] as const);
  const codec = await getFirstEncodableVideoCodec([...known], { width, height });
  if (!codec) throw new Error(`this Chromium encodes none of ${known.join(', ')}`);
  const target = new BufferTarget();
  const output = new Output({ format: container, target });
  const quality = codec === 'vp8' ? QUALITY_HIGH : QUALITY_MEDIUM;
  const source = new CanvasSource(canvas, { codec, quality, keyFrameInterval: 4 });
  output.addVideoTrack(source, { frameRate: rate });
  await output.start();
  return {
    add: (index) => source.add(index / rate, 1 / rate),
    async finish() {
      await output.finalize();
      return target.buffer!;
    },
  };
}

function gifSink(canvas: HTMLCanvasElement, { width, height, rate }: ClipOptions): Sink {
  const encoder = new Encoder({ width, height, maxColors: 96 });
  return {
    async add() {
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, width, height);
      await encoder.encode({ data, delay: Math.round(1000 / rate) });
    },
    finish: () => encoder.flush('arrayBuffer') as Promise<ArrayBuffer>,
  };
}

/** Starts the page with the functions of its task. */
export async function start(functions: TaskFunctions): Promise<void> {
  const player = await Player.create(functions);
  Object.assign(window, {
    farsight: player,
    farsightRecord: async (options: ClipOptions) => {
      Object.assign(window, { farsightClip: await Recorder.create(player, options) });
    },
  });
}

// The orientation in a message of a body, from the body's frame to the world's: its sign, its angles, vectors turned by it.

/** Two messages of one motion are nearer than this, as the product of their quaternions: the body turned by less than 50°. */
const NEAR = 0.9;

/** One body's, message by message. Allocates nothing. */
export class Orientation {
  /** Quaternion x, y, z, w, of unit length, as it was sent. */
  readonly sent = new Float64Array(4);
  /** The same orientation with the sign that `follow` chose. */
  readonly quaternion = new Float64Array(4);
  readonly #before = new Float64Array(4);
  #sign = 1;

  /**
   * Takes what was `sent` over. A quaternion and its negative are the same orientation, and senders choose either: it
   * goes on steadily from the one before, as a simulated one does, and begins with w >= 0, also after a jump.
   */
  follow(): void {
    const { sent, quaternion } = this;
    const before = this.#before;
    let product = 0;
    for (let i = 0; i < 4; i++) product += sent[i] * before[i];
    if (product < -NEAR) this.#sign = -this.#sign;
    else if (!(product > NEAR)) this.#sign = sent[3] < 0 ? -1 : 1;
    for (let i = 0; i < 4; i++) {
      before[i] = sent[i];
      quaternion[i] = this.#sign * sent[i];
    }
  }

  /** The angle about an axis (x: 0), rad in ±π; exact when the body turns about that axis alone. */
  angle(axis: number): number {
    const { sent } = this;
    // The one with w >= 0 has the angle within ±π.
    return 2 * Math.atan2(sent[3] < 0 ? -sent[axis] : sent[axis], Math.abs(sent[3]));
  }

  /** Turns `vector` `[3]` in place from the body's frame into the world's, or with `back` the other way. */
  turn(vector: Float64Array, back = false): void {
    const { sent } = this;
    const s = back ? -1 : 1;
    const x = s * sent[0];
    const y = s * sent[1];
    const z = s * sent[2];
    const tx = 2 * (y * vector[2] - z * vector[1]);
    const ty = 2 * (z * vector[0] - x * vector[2]);
    const tz = 2 * (x * vector[1] - y * vector[0]);
    vector[0] += sent[3] * tx + y * tz - z * ty;
    vector[1] += sent[3] * ty + z * tx - x * tz;
    vector[2] += sent[3] * tz + x * ty - y * tx;
  }
}

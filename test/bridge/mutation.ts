// Bytes as strangers send them: a good message with bits turned, pieces cut, doubled, exchanged, or nothing but noise.
export function mutated(good: Uint8Array, random: () => number): Uint8Array {
  const whole = (below: number) => Math.floor(random() * below);
  let bytes = Buffer.from(good);
  for (let change = 1 + whole(4); change > 0; change--) {
    const at = whole(bytes.length);
    const to = Math.min(bytes.length, at + whole(64));
    switch (whole(6)) {
      case 0:
        if (bytes.length > 0) bytes[at] ^= 1 << whole(8);
        break;
      case 1:
        if (bytes.length > 0) bytes[at] = whole(256);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.from(bytes.subarray(0, at));
        break;
      default:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(Array.from({ length: whole(64) }, () => whole(256))),
          bytes.subarray(at),
        ]);
    }
  }
  return bytes;
}

// A file of a Minari dataset, whatever its layout: episodes by their numbers, and what one holds.

/** What an episode holds, whatever its layout; vectors in row order. */
export interface MinariEpisode {
  observations: ArrayLike<number>;
  /** Of each step, or of one more, that counts for nothing. */
  actions: ArrayLike<number>;
  terminations: ArrayLike<number>;
  sensorAge?: ArrayLike<number>;
}
/** One file of numbers, and the episodes in it, by number. */
export interface MinariFile {
  read(episode: number, place: string): Promise<MinariEpisode> | MinariEpisode;
  close(): void;
}

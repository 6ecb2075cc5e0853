// A page cannot see its garbage collections: stands in for the controller's module of this name.

export class GarbageCounter {
  readonly count = 0;

  look(): void {}
}

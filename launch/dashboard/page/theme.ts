// The page's colours as its style sheet names them, for what is drawn on canvases; light or dark as the reader has it.

const NAMES = ['text', 'quiet', 'edge', 'card', 'accent', 'warm', 'bad', 'good'] as const;
type Name = (typeof NAMES)[number];

const dark = matchMedia('(prefers-color-scheme: dark)');
let colours = read();

function read(): Record<Name, string> {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  ) as Record<Name, string>;
}

export function colour(name: Name): string {
  return colours[name];
}

export function isDark(): boolean {
  return dark.matches;
}

/** `change` hears when the reader goes over from light to dark, or back. */
export function onTheme(change: () => void): void {
  dark.addEventListener('change', () => {
    colours = read();
    change();
  });
}

/** One colour a phase, in the order of PHASES; told apart by most who see colours otherwise, light or dark. */
export function phaseColour(phase: number): string {
  return ['#8a63d2', '#1f9e89', '#e0902f', '#c9519a', '#7c8794', isDark() ? '#6ea3f7' : '#2563c9'][phase];
}

/** From few ticks to many, of 1: 256 steps of red, green, blue. */
export function heatColours(): Uint8ClampedArray {
  const stops = isDark()
    ? [
        [38, 44, 74],
        [86, 45, 125],
        [190, 58, 110],
        [246, 130, 70],
        [252, 240, 170],
      ]
    : [
        [214, 228, 245],
        [140, 190, 226],
        [66, 140, 196],
        [32, 80, 150],
        [16, 28, 74],
      ];
  const table = new Uint8ClampedArray(3 * 256);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(place));
    for (let k = 0; k < 3; k++)
      table[3 * i + k] = stops[low][k] + (place - low) * (stops[low + 1][k] - stops[low][k]);
  }
  return table;
}

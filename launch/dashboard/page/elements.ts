// The page's elements by their ids, and lists of names and values.

export const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

export type Entry = [name: string, value: string, tone?: 'bad' | 'warm' | 'good'];

/** Fills a `<dl>`; what has not changed is left alone. */
export function describe(list: HTMLElement, entries: readonly Entry[]): void {
  while (list.children.length > entries.length) list.lastElementChild!.remove();
  for (const [i, [name, value, tone = '']] of entries.entries()) {
    const pair = list.children[i] ?? list.appendChild(document.createElement('div'));
    if (pair.children.length === 0) pair.append(document.createElement('dt'), document.createElement('dd'));
    const [term, text] = pair.children as unknown as [HTMLElement, HTMLElement];
    if (term.textContent !== name) term.textContent = name;
    if (text.textContent !== value) text.textContent = value;
    if (text.className !== tone) text.className = tone;
  }
}

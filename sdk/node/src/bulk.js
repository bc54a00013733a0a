const MOST = 1000;

/** What travels together: at most a thousand, and no further one when `mostBytes` are reached. */
export function* grouped(items, mostBytes) {
  let group = [];
  let size = 0;
  for (const item of items) {
    group.push(item);
    size += item.length;
    if (group.length === MOST || size >= mostBytes) {
      yield group;
      [group, size] = [[], 0];
    }
  }
  if (group.length) yield group;
}

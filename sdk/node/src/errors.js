/**
 * Every error that this package throws, in one tree: the one of distq/errors.py, as far as it is needed here.
 *
 *     DistqError
 *     ├── ConfigurationError     a setting, name or option is wrong
 *     │   └── UnknownOption      an option that does not exist; the hint names the nearest one
 *     ├── InvalidArguments       the arguments do not fit the task's function (HTTP only: the broker does not
 * know it)
 *     ├── NotSerializable        a value cannot travel; names its path
 *     ├── PayloadTooLarge        above the limit; nothing was sent
 *     ├── UnknownQueue           a queue that the application has not declared
 *     ├── UnknownSchedule        no schedule of this name
 *     ├── AlreadyEnqueued        onDuplicate: "raise": there is a task already for such a call
 *     ├── DecodeError            bytes that are no value of distq
 *     ├── BrokerError
 *     │   ├── BrokerUnavailable  no answer within the time limit: nothing is known to have happened, call again
 *     │   ├── BrokerFull         out of memory; nothing was written
 *     │   └── LayoutMismatch     the keys in the broker are of an incompatible release
 *     └── TaskError              about one requested call, thrown by a handle's get()
 *         ├── TaskFailed         it ended in the dead letters; has remoteType, remoteMessage and remoteTraceback
 *         ├── TaskCancelled      it was cancelled
 *         ├── TaskExpired        its `expires` passed before it could start
 *         ├── ResultTimeout      `wait` passed before it ended; it goes on
 *         ├── ResultNotKept      it keeps no result: there is nothing to wait for
 *         └── UnknownTask        no task of this id is known
 */

export class DistqError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }

  /** Of an answer of the HTTP API: its status, the fields that are wrong. */
  status = undefined;
  errors = [];
}

export class ConfigurationError extends DistqError {}
export class UnknownOption extends ConfigurationError {}
export class InvalidArguments extends DistqError {}
export class NotSerializable extends DistqError {}
export class PayloadTooLarge extends DistqError {}
export class UnknownQueue extends DistqError {}
export class UnknownSchedule extends DistqError {}
export class DecodeError extends DistqError {}

export class AlreadyEnqueued extends DistqError {
  constructor(message, id = "", handles = []) {
    super(message);
    this.id = id;
    this.handles = handles;
  }
}

export class BrokerError extends DistqError {}
export class BrokerUnavailable extends BrokerError {}
export class BrokerFull extends BrokerError {}
export class LayoutMismatch extends BrokerError {}

export class TaskError extends DistqError {
  constructor(message, id) {
    super(message);
    this.id = id;
  }
}

export class TaskFailed extends TaskError {
  constructor(id, { type = "Error", message = "", traceback = "" } = {}) {
    super(message ? `${type}: ${message}` : type, id);
    this.remoteType = type;
    this.remoteMessage = message;
    this.remoteTraceback = traceback;
  }
}

export class TaskCancelled extends TaskError {
  /** Who asked for it, where that is known. */
  by = "";
}

export class TaskExpired extends TaskError {}
export class ResultTimeout extends TaskError {}
export class ResultNotKept extends TaskError {}
export class UnknownTask extends TaskError {}

/** A value in an error message, cut to what a person reads. */
export function shown(value) {
  let text;
  try {
    text = typeof value === "bigint" ? `${value}n` : typeof value === "function" ? "a function" : JSON.stringify(value);
  } catch {
    text = undefined;
  }
  text ??= String(Object.prototype.toString.call(value));
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** So many names are all told where none is near. */
const FEW = 6;

/** A hint for a mistyped or shortened name: " (did you mean `priority`?)", or "" if nothing is near. */
export function didYouMean(word, known) {
  const longer = word.length > 2 ? known.find((name) => name.startsWith(word)) : undefined;
  let best = longer ?? "";
  let least = longer ? 0 : Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const name of known) {
    const distance = distanceOf(word.toLowerCase().replaceAll("_", "").slice(0, 50), name.toLowerCase());
    if (distance < least) [best, least] = [name, distance];
  }
  return best ? ` (did you mean \`${best}\`?)` : "";
}

function distanceOf(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}

/** The options, if all their names are known; else throws UnknownOption: a slip must not mean "for ever". */
export function checkNames(options, known, where) {
  if (options === null || typeof options !== "object" || Array.isArray(options)) {
    throw new ConfigurationError(`${where}: options are an object, not ${shown(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      const hint = didYouMean(name, known) || (known.length <= FEW ? `; there are: ${known.join(", ")}` : "");
      throw new UnknownOption(`${where}: there is no option ${shown(name)}${hint}`);
    }
  }
  return options;
}

/**
 * Options of a call straight into the broker: what exists, what it means, and the checks before anything is sent. Pure.
 */

import { positiveMs, momentMs, seconds } from "./durations.js";
import { ConfigurationError, UnknownOption, checkNames, shown } from "./errors.js";
import { MOST_DELIVERIES, checkId, checkKey, checkName, checkPlace, checkType, priorityNumber } from "./message.js";
import { python } from "./values.js";

const YEAR_S = 366 * 86400;

export const OPTIONS = [
  "queue",
  "priority",
  "delay",
  "eta",
  "expires",
  "id",
  "once",
  "retries",
  "resultTtl",
  "headers",
  "softTimeLimit",
  "timeLimit",
  "maxDeliveries",
  "version",
  "key",
  "uniqueKey",
  "uniqueUntil",
  "uniqueFor",
  "onDuplicate",
  "throttle",
  "debounce",
  "debounceMax",
  "signal",
];

/** Of names: an option → what cannot be said with it. */
const CONTRADICT = {
  throttle: ["uniqueUntil", "uniqueFor", "debounce", "debounceMax"],
  debounce: ["uniqueUntil", "uniqueFor", "onDuplicate", "delay", "eta"],
  uniqueUntil: ["uniqueFor"],
  delay: ["eta"],
};

/**
 * A checked call: what its message says (`head`), what the script is told (`script`), and where it goes.
 *
 * The order of `script` is Python's, so that the bytes are the same.
 */
export function checkOptions(type, options, defaultQueue) {
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined && value !== null));
  if ("durable" in said) {
    throw new UnknownOption("durable: a Producer does not wait for copies of a call: use the Client, or call from Python");
  }
  checkNames(said, OPTIONS, `enqueue(${shown(type)})`);
  checkCombination(said);
  const named = names(said);
  return {
    queue: said.queue === undefined ? defaultQueue : checkPlace(said.queue, "queue"),
    id: said.id === undefined ? undefined : checkId(said.id),
    head: {
      type: checkType(type, whole(said, "version", 1, 999) ?? 1),
      priority: said.priority === undefined ? 1 : priorityNumber(said.priority),
      resultTtlS: said.resultTtl === undefined ? undefined : ttl(said.resultTtl),
      maxDeliveries: whole(said, "maxDeliveries", 1, MOST_DELIVERIES) ?? 0,
      flow: flow(said, named),
      headers: headers(said),
    },
    script: { ...script(said), ...named?.told },
    raises: said.onDuplicate === "raise",
    isUnique: named !== undefined,
  };
}

function checkCombination(said) {
  for (const [name, others] of Object.entries(CONTRADICT)) {
    for (const other of others) {
      if (name in said && other in said) {
        throw new ConfigurationError(`${name} and ${other} contradict each other: give one of them`);
      }
    }
  }
  if ("debounceMax" in said && !("debounce" in said)) {
    throw new ConfigurationError("debounceMax bounds a debounce: give that as well");
  }
  for (const name of ["uniqueUntil", "uniqueFor", "onDuplicate", "throttle", "debounce"]) {
    if (name in said && !("uniqueKey" in said)) {
      throw new ConfigurationError(
        `${name}: say which calls are one: uniqueKey: "some text" (the same for the same call)`,
      );
    }
  }
  if (said.once && said.id === undefined) {
    throw new ConfigurationError("once needs id: by what else would the call be known again?");
  }
}

function whole(said, name, least, most) {
  const value = said[name];
  if (value === undefined) return undefined;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigurationError(`${name}: ${shown(value)}: give a whole number from ${least} to ${most}`);
  }
  return value;
}

function ttl(value) {
  const number = seconds(value, "resultTtl");
  if (number > YEAR_S) throw new ConfigurationError(`resultTtl: ${shown(value)} is more than a year`);
  return number > 0 ? Math.max(1, Math.round(number)) : 0;
}

function limit(said, name) {
  if (said[name] === undefined) return undefined;
  const number = seconds(said[name], name);
  if (!(number > 0 && number <= YEAR_S)) {
    throw new ConfigurationError(`${name}: ${shown(said[name])}: give a time above 0, and at most a year`);
  }
  return number;
}

function headers(said) {
  const given = said.headers ?? {};
  if (typeof given !== "object" || Array.isArray(given)) {
    throw new ConfigurationError(`headers: ${shown(given)}: give an object`);
  }
  const [soft, hard] = [limit(said, "softTimeLimit"), limit(said, "timeLimit")];
  if (soft !== undefined && hard !== undefined && soft >= hard) {
    throw new ConfigurationError(`softTimeLimit: ${shown(said.softTimeLimit)} is not below timeLimit`);
  }
  const found = { ...given };
  if (said.retries !== undefined) found.retries = whole(said, "retries", 0, 1000);
  if (soft !== undefined) found.soft_time_limit = python.float(soft);
  if (hard !== undefined) found.time_limit = python.float(hard);
  return found;
}

function script(said) {
  const told = {};
  if (said.once !== undefined && yesOrNo(said.once, "once")) told.once = true;
  if (said.delay !== undefined) told.delay = Math.round(seconds(said.delay, "delay") * 1000);
  if (said.eta !== undefined) told.due = momentMs(said.eta, "eta");
  if (said.expires instanceof Date) told.expires = momentMs(said.expires, "expires");
  else if (said.expires !== undefined) told.expires_in = positiveMs(said.expires, "expires");
  return told;
}

function flow(said, named) {
  if (said.key === undefined && !named) return undefined;
  return { ...(said.key === undefined ? {} : { k: checkKey(said.key) }), ...named?.said };
}

/** What the message says of its name, and what the script is told of it. */
function names(said) {
  if (said.uniqueKey === undefined) return undefined;
  const name = checkName(said.uniqueKey);
  const onDuplicate = oneOf(said, "onDuplicate", ["return", "raise", "replace"]);
  if (said.debounce !== undefined) {
    const delay = positiveMs(said.debounce, "debounce");
    const most = said.debounceMax === undefined ? undefined : positiveMs(said.debounceMax, "debounceMax");
    if (most < delay) throw new ConfigurationError(`debounceMax: ${shown(said.debounceMax)} is below debounce`);
    return {
      said: { s: name },
      told: { unique: true, debounce: true, delay, ...(most === undefined ? {} : { debounce_max: most }) },
    };
  }
  const time = said.throttle === undefined ? "uniqueFor" : "throttle";
  if (said[time] !== undefined) {
    if (onDuplicate === "replace") {
      throw new ConfigurationError(`${time} and onDuplicate: "replace": for the last call to win, use debounce`);
    }
    return { said: { t: name }, told: { unique: true, for: positiveMs(said[time], time) } };
  }
  const until = oneOf(said, "uniqueUntil", ["done", "start"]);
  const told = onDuplicate === "replace" ? { unique: true, replace: true } : { unique: true };
  return { said: { [until === "done" ? "u" : "s"]: name }, told };
}

function oneOf(said, name, known) {
  const value = said[name] ?? known[0];
  if (!known.includes(value)) throw new ConfigurationError(`${name}: ${shown(value)} is none of ${known.join(", ")}`);
  return value;
}

function yesOrNo(value, name) {
  if (typeof value !== "boolean") throw new ConfigurationError(`${name}: ${shown(value)}: give true or false`);
  return value;
}

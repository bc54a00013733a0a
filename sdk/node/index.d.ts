/// <reference types="node" />
import type { ConnectionOptions } from "node:tls";

/** Seconds, or text such as "500ms", "10s", "5m", "2h", "7d". */
export type Duration = number | string;
export type State = "queued" | "scheduled" | "running" | "completed" | "dead" | "cancelled" | "expired" | "unknown";
export type Priority = "high" | "default" | "low" | 2 | 1 | 0;
export type Kwargs = Record<string, unknown>;
/** Of enqueueMany(): positional arguments, or keyword arguments. */
export type Call = readonly unknown[] | Kwargs;

export interface Abortable {
  signal?: AbortSignal;
}

export interface Waiting extends Abortable {
  /** How long to wait for the end of the task; nothing said: for ever, 0: not at all. */
  wait?: Duration;
}

export interface Cancelling extends Abortable {
  /** Also if it runs: an exception is raised in its handler. */
  running?: boolean;
  /** Also if it runs: its process is ended. */
  kill?: boolean;
}

/** One requested call. */
export interface Handle<T = unknown> {
  readonly id: string;
  /** Undefined until it is known: of an id of your own. */
  readonly queue: string | undefined;
  /** False: a task was there already for this id or name, and this is its handle. */
  readonly created: boolean;
  status(options?: Abortable): Promise<State>;
  /**
   * The handler's return value. Throws TaskFailed, TaskCancelled or TaskExpired when it ended so, ResultTimeout when it
   * has not ended in time, ResultNotKept if it keeps none, UnknownTask if nobody knows it.
   */
  get(options?: Waiting): Promise<T>;
  /** Ends the task if it still waits. False: it runs (and `running`, `kill` are not set), has ended, or is unknown. */
  cancel(options?: Cancelling): Promise<boolean>;
  toJSON(): { id: string; queue: string | undefined; created: boolean };
}

/** Of a handle of a Producer. */
export interface BrokerHandle<T = unknown> extends Handle<T> {
  /** `by`: who asks, for those who look at the task. */
  cancel(options?: Cancelling & { by?: string }): Promise<boolean>;
}

export interface CallOptions extends Abortable {
  queue?: string;
  priority?: Priority;
  /** Becomes ready after this long. */
  delay?: Duration;
  /** Becomes ready at this time. */
  eta?: Date;
  retries?: number;
  /** How long the result is kept; 0: it keeps none. */
  resultTtl?: Duration;
  softTimeLimit?: Duration;
  timeLimit?: Duration;
  /** At most one live task of this id. */
  id?: string;
  /** Does not start later than so long from now, or than this time. */
  expires?: Duration | Date;
  /** Small data that the handler sees as `current().headers`. */
  headers?: Kwargs;
  uniqueUntil?: "done" | "start";
  uniqueFor?: Duration;
  onDuplicate?: "return" | "raise" | "replace";
  throttle?: Duration;
  debounce?: Duration;
  debounceMax?: Duration;
}

export interface ClientCallOptions extends CallOptions {
  durable?: boolean;
  /** Which parameters make calls the same; true: all; false: this one is not. */
  unique?: string | string[] | boolean;
}

export interface ProducerCallOptions extends CallOptions {
  /** With `id`: that of a task that has ended counts, too, as long as its result is kept. */
  once?: boolean;
  /** Dead after so many deaths of its process; 1: never started twice. */
  maxDeliveries?: number;
  /** Of the task's arguments. */
  version?: number;
  /** Of a type with limits per key: whose call this is. */
  key?: string | number | bigint;
  /** Calls with the same one have one task. Where the task says `unique="user"`, it is the value of that argument. */
  uniqueKey?: string | number | bigint;
}

export interface ProducerOptions {
  /** redis://, rediss:// or unix://; else $DISTQ_BROKER, $REDIS_URL, $REDIS_ADDR, localhost. */
  broker?: string;
  /** Where calls go that name no queue: "default". */
  queue?: string;
  /** Bounds every call: 5 s, at most 60 s. */
  timeout?: Duration;
  /** Bytes of a message: 1 MiB. */
  maxPayload?: number;
  /** Of node:tls, for rediss://. */
  tls?: ConnectionOptions;
}

/** Calls straight into the broker. */
export class Producer {
  constructor(app: string, options?: ProducerOptions);
  readonly app: string;
  readonly queue: string;
  readonly maxPayload: number;
  enqueue<T = unknown>(
    type: string,
    args?: readonly unknown[],
    kwargs?: Kwargs,
    options?: ProducerCallOptions,
  ): Promise<BrokerHandle<T>>;
  enqueueMany<T = unknown>(
    type: string,
    calls: Iterable<Call>,
    options?: Omit<ProducerCallOptions, "id" | "once">,
  ): Promise<BrokerHandle<T>[]>;
  handle<T = unknown>(id: string, options?: { queue?: string }): BrokerHandle<T>;
  result<T = unknown>(id: string, options?: Waiting & { queue?: string }): Promise<T>;
  close(): Promise<void>;
}

export interface ClientOptions {
  /** Sent as X-API-Key. */
  key?: string;
  /** Until when a request is sent again: 10 s. */
  timeout?: Duration;
  /** Bytes of a request: 8 MiB, what a server takes. */
  maxBody?: number;
}

export type LiveEvent =
  | { event: "stats"; data: { at_ms: number; totals: Record<string, number>; difference: number; queues: Depths[] } }
  /** The broker, or the server, is not there. */
  | { event: "away"; data: { reason?: string } };

/** Calls through `distq server`. */
export class Client {
  constructor(url: string, options?: ClientOptions);
  /** Looking after queues, limits, schedules, workers … */
  readonly api: Operator;
  enqueue<T = unknown>(
    type: string,
    args?: readonly unknown[],
    kwargs?: Kwargs,
    options?: ClientCallOptions,
  ): Promise<Handle<T>>;
  enqueueMany<T = unknown>(
    type: string,
    calls: Iterable<Call>,
    options?: Omit<ClientCallOptions, "id">,
  ): Promise<Handle<T>[]>;
  handle<T = unknown>(id: string): Handle<T>;
  result<T = unknown>(id: string, options?: Waiting): Promise<T>;
  events(options?: Abortable): AsyncGenerator<LiveEvent, void>;
}

/** An answer of the server, as /api/openapi.json describes it. */
export type Answer = Record<string, any>;
export type Created = { id: string; queue: string; created: boolean };
export type Replayed = { number: number; dry_run: boolean; complete: boolean };
export type Changed = { changed: boolean };

export interface Choice {
  ids?: string[];
  type?: string;
  error?: string;
  olderThan?: Duration;
  queue?: string;
  all?: boolean;
  dryRun?: boolean;
}

export interface Page {
  limit?: number;
  cursor?: string | null;
}

export interface TaskSearch {
  state?: State;
  type?: string;
  queue?: string;
}

export interface DeadSearch {
  type?: string;
  /** Part of the error's class or message. */
  error?: string;
  olderThan?: Duration;
  queue?: string;
}

/** A queue, a type, or a key of a type. */
export interface Place {
  queue?: string;
  type?: string;
  key?: string;
}

export type FoundTask = { id: string; state: State; queue: string } & Answer;

export interface DeadLetter {
  id: string;
  queue: string;
  type: string;
  error: string;
  message: string;
  attempts: number;
  died_at_ms: number;
  enqueued_at_ms: number;
}

export interface Depths {
  queue: string;
  high: number;
  default: number;
  low: number;
  scheduled: number;
  running: number;
  dead: number;
  live: number;
  in_lanes: number;
  moving: number;
  workers: number;
}

export interface Rhythm {
  args?: unknown[];
  kwargs?: Kwargs;
  tz?: string;
  jitter?: Duration;
  overlap?: "queue" | "skip" | "replace";
  missed?: "once" | "skip" | "all";
}

export interface Schedule extends Required<Rhythm> {
  name: string;
  /** "@every 5m", "@daily", "0 7 * * mon-fri". */
  when: string;
  type: string;
  queue: string;
  state: "active" | "paused" | "orphaned";
  /** Its next five ticks. */
  next: string[];
  history?: Answer[];
}

/** What people ask of a server beside calls; what it returns is what the server answers. */
export interface Operator {
  tasks(options?: TaskSearch & Page & Abortable): Promise<{ tasks: FoundTask[]; next: string | null }>;
  everyTask(options?: TaskSearch & Abortable): AsyncGenerator<FoundTask, void>;
  task(id: string, options?: Abortable): Promise<Answer>;
  why(id: string, options?: Abortable): Promise<Answer>;
  retry(id: string, options?: { args?: unknown[]; kwargs?: Kwargs } & Abortable): Promise<Created>;
  delete(id: string, options?: Abortable): Promise<void>;
  queues(options?: Abortable): Promise<{ queues: Depths[] }>;
  queue(name: string, options?: Abortable): Promise<Depths>;
  purge(
    queue: string,
    options?: { place?: "high" | "default" | "low" | "scheduled"; dryRun?: boolean } & Abortable,
  ): Promise<{ number: number; dry_run: boolean }>;
  pauses(options?: Abortable): Promise<{ pauses: Answer[] }>;
  pause(options: Place & { reason?: string } & Abortable): Promise<Changed>;
  resume(options: Place & Abortable): Promise<Changed>;
  limits(type?: string, options?: Abortable): Promise<{ limits: Answer[] }>;
  setLimits(
    type: string,
    options: {
      rate?: string | string[];
      maxRunning?: number | string | (number | string)[];
      queue?: string;
    } & Abortable,
  ): Promise<{ limits: Answer[] }>;
  clearLimits(type: string, options?: { queue?: string } & Abortable): Promise<{ limits: Answer[] }>;
  budgets(options?: Abortable): Promise<{ budgets: Answer[] }>;
  budget(name: string, options?: { key?: string } & Abortable): Promise<Answer>;
  park(budget: string, retryAfter: Duration, options?: { key?: string } & Abortable): Promise<Answer>;
  dead(options?: DeadSearch & Page & Abortable): Promise<{ dead: DeadLetter[]; next: string | null }>;
  everyDead(options?: DeadSearch & Abortable): AsyncGenerator<DeadLetter, void>;
  deadGroups(options?: { queue?: string } & Abortable): Promise<{ groups: Answer[]; complete: boolean }>;
  replay(options: Choice & { rate?: string } & Abortable): Promise<Replayed>;
  purgeDead(options: Choice & Abortable): Promise<Replayed>;
  schedules(options?: Abortable): Promise<{ schedules: Schedule[] }>;
  schedule(name: string, options?: Abortable): Promise<Schedule>;
  createSchedule(
    name: string,
    when: string,
    type: string,
    options?: Rhythm & { queue?: string; priority?: Priority } & Abortable,
  ): Promise<Schedule>;
  editSchedule(name: string, changes: Rhythm & { when?: string } & Abortable): Promise<Schedule>;
  pauseSchedule(name: string, options?: Abortable): Promise<Schedule>;
  resumeSchedule(name: string, options?: Abortable): Promise<Schedule>;
  resetSchedule(name: string, options?: Abortable): Promise<Schedule>;
  triggerSchedule(name: string, options?: Abortable): Promise<Created>;
  deleteSchedule(name: string, options?: Abortable): Promise<void>;
  workers(options?: Abortable): Promise<{ hosts: Answer[] }>;
  tell(host: string, order: "quiet" | "resume" | "stop", options?: Abortable): Promise<Answer>;
  stats(options?: Abortable): Promise<Answer>;
}

/** A value of a Python type that JavaScript lacks. */
export interface PythonValue {
  readonly __python: never;
}

/** Arguments of Python types that JavaScript lacks: `python.decimal("9.90")`. */
export const python: {
  /** A float, also where the number is whole. */
  float(value: number): PythonValue;
  tuple(items: Iterable<unknown>): PythonValue;
  frozenset(items: Iterable<unknown>): PythonValue;
  /** ISO 8601 text, with an offset or without (naive); `zone`: an IANA name. */
  datetime(text: string, options?: { fold?: 0 | 1; zone?: string | null }): PythonValue;
  date(text: string): PythonValue;
  time(text: string, options?: { fold?: 0 | 1 }): PythonValue;
  timedelta(parts: { days?: number; seconds?: number; microseconds?: number }): PythonValue;
  decimal(text: string | number | bigint): PythonValue;
  uuid(text: string): PythonValue;
  path(text: string): PythonValue;
};

/** Base of all errors of this package. */
export class DistqError extends Error {
  /** Of an answer of the HTTP API. */
  readonly status: number | undefined;
  readonly errors: { field: string; message: string }[];
}
/** A setting, name or option is wrong. */
export class ConfigurationError extends DistqError {}
/** An option that does not exist; the hint names the nearest one. */
export class UnknownOption extends ConfigurationError {}
/** The arguments do not fit the task's function. */
export class InvalidArguments extends DistqError {}
/** A value cannot travel; names its path. */
export class NotSerializable extends DistqError {}
/** Above the limit; nothing was sent. */
export class PayloadTooLarge extends DistqError {}
/** A queue that the application has not declared. */
export class UnknownQueue extends DistqError {}
/** No schedule of this name. */
export class UnknownSchedule extends DistqError {}
/** Bytes that are no value of distq. */
export class DecodeError extends DistqError {}
/** `onDuplicate: "raise"`: there is a task already for such a call. */
export class AlreadyEnqueued extends DistqError {
  readonly id: string;
  readonly handles: Handle[];
}
/** The broker cannot do what was asked. */
export class BrokerError extends DistqError {}
/** No answer within the time limit: nothing is known to have happened, call again. */
export class BrokerUnavailable extends BrokerError {}
/** Out of memory; nothing was written. */
export class BrokerFull extends BrokerError {}
/** The keys in the broker are of an incompatible release. */
export class LayoutMismatch extends BrokerError {}
/** About one requested call; thrown by get() and result(). */
export class TaskError extends DistqError {
  readonly id: string;
}
/** It ended in the dead letters. */
export class TaskFailed extends TaskError {
  readonly remoteType: string;
  readonly remoteMessage: string;
  readonly remoteTraceback: string;
}
export class TaskCancelled extends TaskError {
  /** Who asked for it, where that is known. */
  readonly by: string;
}
/** It could not start before its `expires`. */
export class TaskExpired extends TaskError {}
/** It has not ended within `wait`; it goes on. */
export class ResultTimeout extends TaskError {}
/** It keeps no result: there is nothing to wait for. */
export class ResultNotKept extends TaskError {}
/** No task of this id is known: it never was, or the time of its result is over. */
export class UnknownTask extends TaskError {}

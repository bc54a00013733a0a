/**
 * What this package has: `Client` for a server's HTTP API, `Producer` for the broker itself, and the errors of both.
 */

export { Client } from "./client.js";
export {
  AlreadyEnqueued,
  BrokerError,
  BrokerFull,
  BrokerUnavailable,
  ConfigurationError,
  DecodeError,
  DistqError,
  InvalidArguments,
  LayoutMismatch,
  NotSerializable,
  PayloadTooLarge,
  ResultNotKept,
  ResultTimeout,
  TaskCancelled,
  TaskError,
  TaskExpired,
  TaskFailed,
  UnknownOption,
  UnknownQueue,
  UnknownSchedule,
  UnknownTask,
} from "./errors.js";
export { Producer } from "./producer.js";
export { python } from "./values.js";

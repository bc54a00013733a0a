/** Where the broker is: the address that was given, or the environment. It opens no connection. */

import { readFileSync } from "node:fs";

import { ConfigurationError } from "./errors.js";

const HINT = "use redis://host:port/0, rediss://host:port/0 or unix:///path/of/the/socket";

const FILES = { ssl_ca_certs: "ca", ssl_certfile: "cert", ssl_keyfile: "key" };

/**
 * Host or path, credentials, database, whether TLS is spoken. Nothing given: $DISTQ_BROKER, $REDIS_URL, $REDIS_ADDR
 * (host:port), localhost; where it has no password: $DISTQ_BROKER_PASSWORD, or the file $DISTQ_BROKER_PASSWORD_FILE.
 */
export function addressOf(given, environ = process.env) {
  let url = given || environ.DISTQ_BROKER || environ.REDIS_URL;
  if (!url && environ.REDIS_ADDR) url = `redis://${environ.REDIS_ADDR}/0`;
  url ||= "redis://localhost:6379/0";
  let parts;
  try {
    parts = new URL(url);
  } catch {
    throw new ConfigurationError(
      `broker ${mask(String(url))} cannot be read: ${HINT}; / # ? @ in a password are %2F %23 %3F %40`,
    );
  }
  const scheme = parts.protocol.slice(0, -1);
  if (scheme === "sentinel" || scheme === "cluster") {
    throw new ConfigurationError(
      `broker ${mask(url)}: ${scheme}:// is for Python only; give the address of the primary, or use the HTTP client`,
    );
  }
  if (!["redis", "rediss", "unix"].includes(scheme)) {
    throw new ConfigurationError(`broker ${mask(url)} is no address of a broker: ${HINT}`);
  }
  const options = Object.fromEntries(parts.searchParams);
  for (const name of [...Object.keys(options), ...(parts.hash ? ["#"] : [])]) {
    if (!(name in FILES && scheme === "rediss") && !(name === "db" && scheme === "unix")) {
      const known = `${Object.keys(FILES).join(", ")} of rediss://, db of unix://`;
      throw new ConfigurationError(`broker ${mask(url)}: there is no option ${name} here; there are ${known}`);
    }
  }
  return { ...placeOf(parts, scheme, url, options), ...credentials(parts, environ), shown: mask(url) };
}

function placeOf(parts, scheme, url, options) {
  const path = decodeURIComponent(parts.pathname);
  if (scheme === "unix") {
    if (parts.host || path.length < 2 || !/^\d{0,9}$/.test(options.db ?? "")) {
      throw new ConfigurationError(`broker ${mask(url)}: ${HINT}`);
    }
    return { path, database: Number(options.db ?? 0) };
  }
  if (!/^\/?\d{0,9}$/.test(path)) {
    throw new ConfigurationError(`broker ${mask(url)}: its path is the number of a database, such as /0`);
  }
  const host = parts.hostname.replace(/^\[|\]$/g, "") || "localhost";
  const tls = scheme === "rediss" ? filesOf(options) : undefined;
  return { host, port: Number(parts.port) || 6379, database: Number(path.slice(1) || 0), tls };
}

/** Certificates and keys that the address names, as node:tls takes them. */
function filesOf(options) {
  const found = {};
  for (const [name, path] of Object.entries(options)) {
    try {
      found[FILES[name]] = readFileSync(path);
    } catch (error) {
      throw new ConfigurationError(`broker: ${name}=${path} cannot be read: ${error.code}`);
    }
  }
  return found;
}

function credentials(parts, environ) {
  const username = decodeURIComponent(parts.username);
  if (parts.password) return { username, password: decodeURIComponent(parts.password) };
  if (environ.DISTQ_BROKER_PASSWORD) return { username, password: environ.DISTQ_BROKER_PASSWORD };
  if (!environ.DISTQ_BROKER_PASSWORD_FILE) return { username, password: "" };
  try {
    return { username, password: readFileSync(environ.DISTQ_BROKER_PASSWORD_FILE, "utf8").replace(/[\r\n]+$/, "") };
  } catch (error) {
    throw new ConfigurationError(`$DISTQ_BROKER_PASSWORD_FILE cannot be read: ${error.code}`);
  }
}

/**
 * The address without its password, for messages: up to its last at sign, since people forget to quote what is in it.
 */
export function mask(url) {
  return url.replace(/(:\/\/[^:@/]*):.*@/s, "$1:***@").replace(/([?&](?:ssl_|sentinel_)?password=)[^&]*/gi, "$1***");
}

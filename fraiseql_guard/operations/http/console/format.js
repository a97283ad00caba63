// Numbers with their units, as text.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export const count = (value) => WHOLE.format(value);

/** A number with as many digits as matter: 0, 0.3, 9.5, 12, 1,234. */
export function number(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 10) return WHOLE.format(value);
  return Math.abs(value) >= 0.1 ? TENTHS.format(value) : SHORT.format(value);
}

/** A number as it was given, with at most two decimals. */
export const exact = (value) => SHORT.format(value);

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

export const percent = (share) => `${number(share * 100)} %`;

export function milliseconds(seconds) {
  return seconds >= 1 ? `${number(seconds)} s` : `${number(seconds * 1000)} ms`;
}

/** A duration in seconds as words: 45 s, 12 min, 3 h 20 min, 5 d. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  return `${Math.round(minutes / 1440)} d`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (value >= 1024 && step < units.length - 1) {
    value /= 1024;
    step += 1;
  }
  return `${number(value)} ${units[step]}`;
}

/** A moment (Unix time in seconds) in local time with its zone, and with its date if that is another day. */
export function clock(at) {
  const then = new Date(at * 1000);
  if (Number.isNaN(then.getTime())) return "?";
  const time = [then.getHours(), then.getMinutes(), then.getSeconds()].map(two).join(":");
  const date = [then.getFullYear(), two(then.getMonth() + 1), two(then.getDate())].join("-");
  const today = then.toDateString() === new Date().toDateString();
  return `${today ? "" : `${date} `}${time} ${zone(-then.getTimezoneOffset())}`;
}

/** A zone as text: UTC, or its offset, given in minutes, as +05:30. */
function zone(minutes) {
  if (minutes === 0) return "UTC";
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

const two = (value) => String(value).padStart(2, "0");

/** The words of a name: query_limits is "query limits". */
export const words = (name) => name.replaceAll("_", " ");

/** A target in words: a user, an address, a key or a login. */
export function target({ user_id, ip_address, identifier, issuer, tenant, key }) {
  if (key) return `key ${key}`;
  if (identifier !== null) return `login ${identifier}${ip_address !== null ? ` from ${ip_address}` : ""}`;
  if (user_id === null) return String(ip_address);
  return [`user ${user_id}`, issuer && `issuer ${issuer}`, tenant && `tenant ${tenant}`].filter(Boolean).join(", ");
}

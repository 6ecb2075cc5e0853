// Which host names are this computer alone: what goes to or comes from there needs no TLS.

/** Of a URL, where an IPv6 address has brackets, or without them. `127.example.org` is anybody. */
export function isLoopback(hostname: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|\[?::1\]?|localhost)$/.test(hostname);
}

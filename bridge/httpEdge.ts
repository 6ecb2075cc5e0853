// What the HTTP endpoints of this side share: where they listen, who may ask, and over what TLS.
import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import { FarsightError, messageOf, UsageError } from '../contract/errors.js';

export interface Listening {
  host: string;
  port: number;
}

/** `9464`, `0.0.0.0:9464` or `[::]:9464`; loopback when no address is given. Throws a `UsageError` that names the flag. */
export function listenAddress(text: string, flag: string): Listening {
  const [, bracketed, plain, digits] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? '127.0.0.1';
  const port = Number(digits);
  if (digits === undefined || port > 65535 || (isIP(host) === 0 && !/^[A-Za-z0-9.-]+$/.test(host)))
    throw new UsageError(`${flag} '${text}': wants a port, or ADDRESS:PORT to listen beyond this computer`);
  return { host, port };
}

/** A secret from a file, without the line's end. Throws a `FarsightError` that names the file. */
export function readSecret(path: string, flag: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new FarsightError(`${flag} '${path}' cannot be read: ${messageOf(error)}`);
  }
  if (text === '' || /\s/.test(text)) throw new FarsightError(`${flag} '${path}': wants one word`);
  return text;
}

/** PEM files. */
export interface TlsFiles {
  cert: string;
  key: string;
  /** Of the authority whose clients alone may connect. */
  clientCa?: string;
}

/** Starts a server; resolves with it and its URL. Throws a `FarsightError` when it cannot listen there. */
export async function listen(
  handler: RequestListener,
  { host, port }: Listening,
  tls?: TlsFiles,
): Promise<{ server: Server; url: string }> {
  const server = tls
    ? createTlsServer(
        {
          cert: readPem(tls.cert),
          key: readPem(tls.key),
          ...(tls.clientCa && { ca: readPem(tls.clientCa), requestCert: true, rejectUnauthorized: true }),
        },
        handler,
      )
    : createServer(handler);
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new FarsightError(`cannot listen on ${host}:${port} (${messageOf(error)})`);
  }
  const address = server.address() as AddressInfo;
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return { server, url: `${tls ? 'https' : 'http'}://${shown}:${address.port}` };
}

/** Throws a `FarsightError` that names the file. */
export function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FarsightError(`'${path}' cannot be read: ${messageOf(error)}`);
  }
}

/** Whether a request brings the token; nothing is learnt from how long the answer takes. */
export function bearerIs(header: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${token}`));
}

// The ed25519 keys that sign a repository's metadata: a private one in a file that nobody else may read, its public one beside.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Key, Signature } from '@tufjs/models';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { writePrivate, writeWhole } from '../contract/wholeFile.js';

export interface SigningKey {
  /** Of its file, without the ending. */
  name: string;
  key: Key;
  /** Left out where only the public half is there. */
  sign?: (data: Buffer) => Signature;
}

/** As metadata names it: the number is the SHA-256 of its canonical JSON. */
function tufKey(publicKey: KeyObject): Key {
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
  const value = { keytype: 'ed25519', keyval: { public: raw }, scheme: 'ed25519' };
  const keyID = createHash('sha256').update(JSON.stringify(value)).digest('hex');
  return new Key({ keyID, keyType: 'ed25519', scheme: 'ed25519', keyVal: { public: raw } });
}

/** Makes `NAME.key` (mode 0600) and `NAME.pub` in the directory, or neither: throws as `makeKeys`. */
export function makeKey(directory: string, name: string): SigningKey {
  return makeKeys(directory, [name])[0];
}

/** All of them, or none. Throws a `FarsightError` rather than replace a key, and when one cannot be written. */
export function makeKeys(directory: string, names: readonly string[]): SigningKey[] {
  const made: string[] = [];
  try {
    return names.map((name) => makePair(directory, name, made));
  } catch (error) {
    for (const path of made) rmSync(path, { force: true });
    throw error;
  }
}

/** `made` takes the files as they are there. */
function makePair(directory: string, name: string, made: string[]): SigningKey {
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(name))
    throw new FarsightError(`key '${name}': wants letters, digits, or any of _ . -`);
  makeDirectory(directory);
  const path = join(directory, `${name}.key`);
  const publicPath = join(directory, `${name}.pub`);
  if (existsSync(path) || existsSync(publicPath))
    throw new FarsightError(`key '${path}' exists: a key is never replaced; choose another name`);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  writePrivate(path, privateKey.export({ format: 'pem', type: 'pkcs8' }));
  made.push(path);
  writeWhole(publicPath, publicKey.export({ format: 'pem', type: 'spki' }));
  made.push(publicPath);
  return privateSigner(name, privateKey);
}

/** The keys whose files are in the directory. Throws a `FarsightError` that names a private one that others may read. */
export function readKeys(directory: string): SigningKey[] {
  let names: string[];
  try {
    names = readdirSync(directory).sort();
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such directory' : messageOf(error);
    throw new FarsightError(`--keys '${directory}': ${why}; farsight deliver keys makes keys`);
  }
  const stems = [
    ...new Set(names.filter((name) => /\.(key|pub)$/.test(name)).map((name) => name.slice(0, -4))),
  ];
  return stems.map((name) => {
    const path = join(directory, `${name}.key`);
    try {
      if (!names.includes(`${name}.key`))
        return { name, key: tufKey(publicKeyIn(join(directory, `${name}.pub`))) };
      if ((statSync(path).mode & 0o077) !== 0)
        throw new FarsightError(`others may read the private key: chmod 600 '${path}'`);
      return privateSigner(name, createPrivateKey(readFileSync(path)));
    } catch (error) {
      if (error instanceof FarsightError) throw error;
      throw new FarsightError(`key '${join(directory, name)}': ${messageOf(error)}`);
    }
  });
}

function publicKeyIn(path: string): KeyObject {
  const key = createPublicKey(readFileSync(path));
  if (key.asymmetricKeyType !== 'ed25519') throw new FarsightError(`key '${path}': wants ed25519`);
  return key;
}

function privateSigner(name: string, privateKey: KeyObject): SigningKey {
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new FarsightError(`key '${name}': wants ed25519`);
  const key = tufKey(createPublicKey(privateKey));
  return {
    name,
    key,
    sign: (data) => new Signature({ keyID: key.keyID, sig: sign(null, data, privateKey).toString('hex') }),
  };
}

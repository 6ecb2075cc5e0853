// A robot's token goes without TLS to its own computer alone, whatever name somebody answers with.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback } from '../../bridge/loopback.js';

test('names of this computer, and names that only look like it', () => {
  for (const url of ['http://127.0.0.1:7447', 'http://127.1', 'http://[::1]:7447', 'http://localhost'])
    assert.ok(isLoopback(new URL(url).hostname), url);
  for (const url of [
    'http://127.example.org',
    'http://127.0.0.1.example.org',
    'http://localhost.example.org',
    'http://[::2]',
    'http://10.0.0.1',
  ])
    assert.ok(!isLoopback(new URL(url).hostname), url);
});

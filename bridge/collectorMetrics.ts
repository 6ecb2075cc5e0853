// The collector's own figures for Prometheus: rows and files by robot, what was refused, what waits, what room is left.
import { Counter, Gauge, Registry } from 'prom-client';
import type { FinalReceipt } from '../contract/transfer.js';

export class CollectorMetrics {
  readonly #registry = new Registry();
  readonly #rows = this.#counter('rows_total', 'Rows by what became of them', ['robot', 'outcome']);
  readonly #files = this.#counter('files_total', 'Files by what became of them', ['robot', 'outcome']);
  readonly #refused = this.#counter('refused_total', 'Requests refused, by HTTP status', ['status']);
  readonly #waiting = this.#gauge('files_waiting', 'Whole files that are yet to be taken in');
  readonly #free = this.#gauge('disk_free_bytes', "Room on the collector's disk");

  /** Since the start. */
  readonly counts = { stored: 0, quarantined: 0, rows: 0, duplicates: 0 };

  get contentType(): string {
    return this.#registry.contentType;
  }

  taken(robot: string, receipt: FinalReceipt | undefined): void {
    this.#files.inc({ robot, outcome: receipt?.state ?? 'damaged' });
    if (receipt) this.counts[receipt.state]++;
    if (receipt?.state !== 'stored') return;
    this.counts.rows += receipt.rows;
    this.counts.duplicates += receipt.duplicates;
    this.#rows.inc({ robot, outcome: 'stored' }, receipt.rows);
    this.#rows.inc({ robot, outcome: 'duplicate' }, receipt.duplicates);
  }

  refused(status: number): void {
    this.#refused.inc({ status });
  }

  text(waiting: number, free: number): Promise<string> {
    this.#waiting.set(waiting);
    this.#free.set(free);
    return this.#registry.metrics();
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name: `farsight_collector_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name: `farsight_collector_${name}`, help, registers: [this.#registry] });
  }
}

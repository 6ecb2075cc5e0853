// What a schema finds wrong, as one line for a person.
import { z } from 'zod';

/** Every finding with its place. */
export function findingsOf(error: z.core.$ZodError): string {
  return z.prettifyError(error).replace(/\s*\n\s*/g, ' ');
}

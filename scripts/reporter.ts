/**
 * A vitest reporter that ends every run with one plain line, `N passed, N failed`, for scripts that read it.
 * What keeps tests from running at all (a file that does not load, an error outside every test) counts as failed.
 */
import type { Reporter, TestModule } from 'vitest/node';

/** Tests that passed and failed in a module; a module or suite that broke outside its tests is one failure more. */
function count(module: TestModule): { passed: number; failed: number } {
  let [passed, failed] = [0, module.errors().length > 0 ? 1 : 0];
  for (const suite of module.children.allSuites()) failed += suite.errors().length > 0 ? 1 : 0;
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    if (state === 'passed') passed++;
    // A test that is still pending when the run is over never got its turn: that is not a pass.
    if (state === 'failed' || state === 'pending') failed++;
  }
  return { passed, failed };
}

/** Prints the line when the process ends, after whatever other reporters print. */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let [passed, failed] = [0, unhandledErrors.length];
    for (const module of modules) {
      const counts = count(module);
      passed += counts.passed;
      failed += counts.failed;
    }
    if (modules.length === 0) failed++;
    process.once('exit', () => process.stdout.write(`\n${passed} passed, ${failed} failed\n`));
  }
}

/** The loss of a device: what it was at often fails before it says so. */

/** How long a device that fails may take to tell that it is lost, in milliseconds. */
const LOSS_DELAY = 100;

/** Whether a device is lost, or says so within so many milliseconds. */
export async function becomesLost(
  device: { readonly isLost: boolean },
  delay = LOSS_DELAY,
): Promise<boolean> {
  const until = performance.now() + delay;
  while (!device.isLost && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return device.isLost;
}

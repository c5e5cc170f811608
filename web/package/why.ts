/** Why a browser has no WebGPU, and what can be done: page and worker both look. */

/** The reason and an advice, as sentences. */
export function whyNoWebGPU(): [reason: string, advice: string] {
  if (!globalThis.isSecureContext) {
    return [
      'WebGPU works on secure pages only, and this one came over plain HTTP.',
      'Open it over https:// or from localhost.',
    ];
  }
  const agent = navigator.userAgent;
  const ios =
    /iPhone|iPad|iPod/.test(agent) || (/Macintosh/.test(agent) && navigator.maxTouchPoints > 1);
  if (ios) {
    return [
      'This version of iOS has no WebGPU.',
      'Update to iOS or iPadOS 26 or later; every browser there has it.',
    ];
  }
  const linux = /Linux/.test(agent) && !/Android/.test(agent);
  if (/Firefox\//.test(agent)) {
    if (/Android/.test(agent) || linux) {
      return [
        'This Firefox has no WebGPU on this system.',
        'Use Chrome or another browser built on Chromium, or switch on dom.webgpu.enabled in about:config.',
      ];
    }
    return [
      'This Firefox has no WebGPU.',
      'Update it: Firefox has it on Windows from version 141, on Macs with Apple silicon from 145.',
    ];
  }
  if (/Chrome\//.test(agent)) {
    if (/Android/.test(agent)) {
      return [
        'This browser has no WebGPU on this device.',
        'Chrome 121 or later has it on Android 12 or later.',
      ];
    }
    if (linux) {
      return [
        'This browser has WebGPU on Linux only for some graphics cards.',
        'Update it, or open chrome://flags, enable "Unsafe WebGPU Support" and "Vulkan", and start it again.',
      ];
    }
    return [
      'This browser has no WebGPU.',
      'Update it (Chrome and Edge have it from version 113), and switch on hardware acceleration in its settings.',
    ];
  }
  if (/Safari\//.test(agent)) {
    return ['This Safari has no WebGPU.', 'Update to Safari 26 or later, or use Chrome or Edge.'];
  }
  return ['This browser has no WebGPU.', 'Use a current Chrome, Edge, Safari or Firefox.'];
}

/** The reason and an advice where there is WebGPU, but no adapter. */
export function whyNoAdapter(): [reason: string, advice: string] {
  const linux = /Linux/.test(navigator.userAgent) && !/Android/.test(navigator.userAgent);
  const flags = linux ? ' On Linux, chrome://flags has "Unsafe WebGPU Support" and "Vulkan".' : '';
  return [
    'This browser has WebGPU, but offers no graphics adapter: acceleration is off, or the driver is on its list of those that do not work.',
    `Switch on hardware acceleration in the browser's settings, update the graphics driver and start the browser again.${flags}`,
  ];
}

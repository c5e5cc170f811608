import { expect, test } from '@playwright/test';
import { choose } from '../../web/package/choice.ts';
import type { Graphics } from '../../web/package/graphics.ts';

const limits = { maxBinding: 1, maxBuffer: 1, features: [] };
const card: Graphics = { adapter: { name: 'a card', kind: 'GPU', ...limits }, software: false };
const software: Graphics = {
  adapter: { name: 'SwiftShader', kind: 'software (CPU)', ...limits },
  software: true,
};
const none: Graphics = { software: false, reason: 'No WebGPU.', advice: 'Update.' };

test('a graphics card is taken, else the processor', () => {
  expect(choose('auto', card, 'simd')).toMatchObject({
    device: 'webgpu',
    why: expect.stringMatching(/a card/),
  });
  expect(choose('auto', software, 'relaxed')).toMatchObject({
    device: 'cpu',
    why: expect.stringMatching(/SwiftShader/),
  });
  expect(choose('auto', none, 'simd')).toEqual({ device: 'cpu', why: 'No WebGPU.' });
});

test('what is asked for is taken where it is there', () => {
  expect(choose('cpu', card, 'simd').device).toBe('cpu');
  expect(choose('webgpu', software, 'simd').device).toBe('webgpu');
  expect(choose('webgpu', none, 'simd')).toEqual({ why: 'No WebGPU.', advice: 'Update.' });
});

test('without SIMD there is no processor to take', () => {
  expect(choose('auto', software, 'none')).toMatchObject({
    device: 'webgpu',
    why: expect.stringMatching(/SIMD/),
  });
  expect(choose('auto', none, 'none')).toMatchObject({
    why: expect.stringMatching(/No WebGPU.*SIMD/),
    advice: 'Update.',
  });
  expect(choose('cpu', card, 'none').device).toBeUndefined();
});

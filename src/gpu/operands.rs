//! Which texture holds which operand: a copy stays until the tensor is written or its place is needed, so
//! that one copy serves several kernels.

use std::collections::HashMap;

use super::Precision;

/// Textures of a kind that exist at once. More would hold what is needed only much later.
const MOST: usize = 8;

/// A part of a buffer, which is known by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub buffer: usize,
    pub first: u64,
    pub bytes: u64,
}

impl Part {
    /// Whether they have a byte in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer
            && self.first < other.first + other.bytes
            && other.first < self.first + self.bytes
    }
}

/// What a launch takes from textures, each at most once, and what it writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses {
    pub operands: Vec<(Precision, Part)>,
    pub writes: Vec<Part>,
}

/// Where an operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the texture.
    pub texture: usize,
    /// Whether it must be copied there first.
    pub copied: bool,
}

/// A texture's kind, and the bytes that it must hold.
pub(super) type TextureSize = (Precision, u64);

/// Textures for launches that run in order, and the place of every operand. The launches' first copies
/// assume nothing of what a texture held before.
pub(super) fn place(launches: &[Uses]) -> (Vec<TextureSize>, Vec<Vec<Place>>) {
    let next_uses = next_uses(launches);
    let mut textures: Vec<Texture> = Vec::new();
    let mut places = Vec::with_capacity(launches.len());
    for (number, launch) in launches.iter().enumerate() {
        let mut placed: Vec<Place> = Vec::with_capacity(launch.operands.len());
        for (&(precision, part), &next_use) in launch.operands.iter().zip(&next_uses[number]) {
            let wanted = Some(part);
            let held = textures.iter().position(|t| t.precision == precision && t.holds == wanted);
            let texture = held.unwrap_or_else(|| {
                let taken = |i: usize| placed.iter().any(|place| place.texture == i);
                choose(&mut textures, precision, part.bytes, taken)
            });
            let Texture { bytes, holds, until, .. } = &mut textures[texture];
            (*bytes, *holds, *until) = (part.bytes.max(*bytes), wanted, next_use);
            placed.push(Place { texture, copied: held.is_none() });
        }
        for texture in &mut textures {
            let is_written = |part: Part| launch.writes.iter().any(|write| write.overlaps(&part));
            if texture.until.is_none() || texture.holds.is_some_and(is_written) {
                (texture.holds, texture.until) = (None, None);
            }
        }
        places.push(placed);
    }
    (textures.into_iter().map(|t| (t.precision, t.bytes)).collect(), places)
}

struct Texture {
    precision: Precision,
    bytes: u64,
    /// What it holds that will be used again.
    holds: Option<Part>,
    /// The launch that uses it next.
    until: Option<usize>,
}

/// A texture to copy into: a free one, the tightest that is large enough; else a new one; else the one
/// whose content is needed last.
fn choose(
    textures: &mut Vec<Texture>,
    precision: Precision,
    bytes: u64,
    taken: impl Fn(usize) -> bool,
) -> usize {
    let usable: Vec<usize> =
        (0..textures.len()).filter(|&i| textures[i].precision == precision && !taken(i)).collect();
    let free = usable.iter().copied().filter(|&i| textures[i].holds.is_none());
    let tightest = free.min_by_key(|&i| {
        let room = textures[i].bytes;
        if room >= bytes { (false, room) } else { (true, u64::MAX - room) }
    });
    let of_kind = textures.iter().filter(|texture| texture.precision == precision).count();
    let last = usable.into_iter().max_by_key(|&i| textures[i].until);
    match (tightest, last) {
        (Some(free), _) => free,
        (None, Some(last)) if of_kind >= MOST => last,
        _ => {
            textures.push(Texture { precision, bytes, holds: None, until: None });
            textures.len() - 1
        }
    }
}

/// For every operand the next launch that takes the same part, unless it is written before.
fn next_uses(launches: &[Uses]) -> Vec<Vec<Option<usize>>> {
    let mut next: HashMap<(Precision, Part), usize> = HashMap::new();
    let mut found: Vec<Vec<Option<usize>>> = Vec::with_capacity(launches.len());
    for (number, launch) in launches.iter().enumerate().rev() {
        next.retain(|(_, part), _| !launch.writes.iter().any(|write| write.overlaps(part)));
        found.push(launch.operands.iter().map(|operand| next.get(operand).copied()).collect());
        next.extend(launch.operands.iter().map(|&operand| (operand, number)));
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(buffer: usize) -> Part {
        Part { buffer, first: 0, bytes: 64 * (1 + buffer as u64) }
    }

    fn launch(operands: &[usize], writes: &[usize]) -> Uses {
        Uses {
            operands: operands.iter().map(|&buffer| (Precision::F32, part(buffer))).collect(),
            writes: writes.iter().map(|&buffer| part(buffer)).collect(),
        }
    }

    fn copies(places: &[Vec<Place>]) -> Vec<Vec<bool>> {
        places.iter().map(|launch| launch.iter().map(|place| place.copied).collect()).collect()
    }

    /// What every texture holds is followed as the device would do it.
    fn check(launches: &[Uses]) -> Vec<Vec<Place>> {
        let (textures, places) = place(launches);
        let mut held: Vec<Option<(Precision, Part)>> = vec![None; textures.len()];
        for (launch, places) in launches.iter().zip(&places) {
            for (operand, place) in launch.operands.iter().zip(places) {
                let (precision, bytes) = textures[place.texture];
                assert!(operand.0 == precision && operand.1.bytes <= bytes);
                if place.copied {
                    held[place.texture] = Some(*operand);
                }
            }
            // All operands of a launch are there at once.
            for (operand, place) in launch.operands.iter().zip(places) {
                assert_eq!(held[place.texture], Some(*operand));
            }
            for content in &mut held {
                if content.is_some_and(|(_, part)| launch.writes.iter().any(|w| w.overlaps(&part)))
                {
                    *content = None;
                }
            }
        }
        places
    }

    #[test]
    fn one_copy_serves_until_the_tensor_is_written() {
        let launches = [
            launch(&[1, 2], &[9]),
            launch(&[2, 3], &[1]),
            launch(&[1, 2], &[2]),
            launch(&[2], &[]),
        ];
        let places = check(&launches);
        let expected = [vec![true, true], vec![false, true], vec![true, false], vec![true]];
        assert_eq!(copies(&places), expected);
    }

    #[test]
    fn a_write_to_a_part_counts() {
        let mut launches = [launch(&[1], &[]), launch(&[1], &[]), launch(&[1], &[])];
        launches[1].writes = vec![Part { buffer: 1, first: 127, bytes: 100 }];
        assert_eq!(copies(&check(&launches)), [[true], [false], [true]]);
        launches[1].writes = vec![Part { buffer: 1, first: 128, bytes: 100 }];
        assert_eq!(copies(&check(&launches)), [[true], [false], [false]]);
    }

    #[test]
    fn textures_are_few_and_what_is_needed_last_gives_way() {
        let mut launches: Vec<Uses> = (0..20).map(|i| launch(&[i], &[])).collect();
        launches.extend((0..20).rev().map(|i| launch(&[i], &[])));
        let (textures, _) = place(&launches);
        assert_eq!(textures.len(), MOST);
        let again: Vec<bool> = check(&launches)[20..].iter().map(|p| p[0].copied).collect();
        // The last ones are still there when the way back begins.
        assert_eq!(again[..MOST - 1], [false; MOST - 1]);
    }

    #[test]
    fn kinds_do_not_mix_and_large_launches_are_served() {
        let mut wide = launch(&[0, 1, 2, 3, 4, 5, 6, 7], &[]);
        wide.operands.push((Precision::F16, part(0)));
        let places = check(&[wide.clone(), wide]);
        assert!(places[1].iter().all(|place| !place.copied));
    }
}

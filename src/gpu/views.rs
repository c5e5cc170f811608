//! The texture operands of launches: views of buffers' own memory where the device has such, else of
//! copies.

use std::collections::HashMap;

use super::operands::{self, Part, Place, Uses};
use super::shaders::{Access, Shader};
use super::texture::Scratch;
use super::{Buffer, Dispatch, Gpu, Precision};

/// What a launch reads as textures.
pub(super) struct Views {
    /// One for each texture operand, in order.
    pub views: Vec<wgpu::TextureView>,
    /// What is copied before the launch.
    pub copies: Vec<TextureCopy>,
}

/// A range of a buffer, and the texture that it is copied to.
pub(super) struct TextureCopy {
    pub buffer: wgpu::Buffer,
    pub first: u64,
    pub bytes: u64,
    /// Number of a [`Scratch`].
    pub texture: usize,
}

/// Textures over parts of buffers; none where the device makes none.
type Overlays = HashMap<(Precision, Part), Option<wgpu::TextureView>>;

/// Views for `dispatches`, which run in this order, and the textures that hold copies.
pub(super) fn views(gpu: &Gpu, dispatches: &[Dispatch<'_>]) -> (Vec<Scratch>, Vec<Views>) {
    let mut known = Overlays::new();
    let overlays: Vec<Vec<Option<wgpu::TextureView>>> =
        dispatches.iter().map(|dispatch| dispatch.overlays(gpu, &mut known)).collect();
    let both = || dispatches.iter().zip(&overlays);
    let uses: Vec<Uses> = both().map(|(dispatch, overlays)| dispatch.uses(overlays)).collect();
    let (textures, places) = operands::place(&uses);
    let scratch: Vec<Scratch> = textures
        .into_iter()
        .map(|(precision, bytes)| Scratch::new(gpu, precision, bytes))
        .collect();
    let views = both()
        .zip(&places)
        .map(|((dispatch, overlays), places)| dispatch.views(overlays, places, &scratch))
        .collect();
    (scratch, views)
}

/// Buffer, first byte, bytes.
type Range<'a> = (&'a Buffer, u64, u64);

fn part(&(buffer, first, bytes): &Range<'_>) -> Part {
    // A buffer lives as long as the list that is made.
    Part { buffer: std::ptr::from_ref(buffer).addr(), first, bytes }
}

impl<'a> Dispatch<'a> {
    fn texture_operands(&self) -> impl Iterator<Item = (Precision, &Range<'a>)> {
        let textures = self.operands().filter(|&((access, _), _)| access == Access::Texture);
        textures.map(|((_, precision), range)| (precision, range))
    }

    fn writes(&self) -> Vec<Part> {
        let written = self.operands().filter(|&((access, _), _)| access == Access::Write);
        written.map(|(_, range)| part(range)).collect()
    }

    /// Views of the operands' own memory. What the launch itself writes is copied, unless each invocation
    /// writes no more than it has read.
    fn overlays(&self, gpu: &Gpu, known: &mut Overlays) -> Vec<Option<wgpu::TextureView>> {
        let in_place = Shader::named(self.kernel.shader).in_place;
        let writes = self.writes();
        self.texture_operands()
            .map(|(precision, range)| {
                let (part, &(buffer, first, bytes)) = (part(range), range);
                if !in_place && writes.iter().any(|write| write.overlaps(&part)) {
                    return None;
                }
                let overlay = || buffer.overlay(gpu, precision, first, bytes);
                known.entry((precision, part)).or_insert_with(overlay).clone()
            })
            .collect()
    }

    /// What it takes from copies, and what it writes.
    fn uses(&self, overlays: &[Option<wgpu::TextureView>]) -> Uses {
        let copied = self.texture_operands().zip(overlays).filter(|(_, view)| view.is_none());
        Uses {
            operands: copied.map(|((precision, range), _)| (precision, part(range))).collect(),
            writes: self.writes(),
        }
    }

    fn views(
        &self,
        overlays: &[Option<wgpu::TextureView>],
        places: &[Place],
        scratch: &[Scratch],
    ) -> Views {
        let (mut copies, mut places) = (Vec::new(), places.iter());
        let view = |((_, &(buffer, first, bytes)), overlay): ((_, &Range<'_>), &Option<_>)| {
            if let Some(overlay) = overlay {
                return wgpu::TextureView::clone(overlay);
            }
            let &Place { texture, copied } = places.next().expect("a place for each copy");
            if copied {
                copies.push(TextureCopy { buffer: buffer.raw.clone(), first, bytes, texture });
            }
            scratch[texture].view()
        };
        let views = self.texture_operands().zip(overlays).map(view).collect();
        Views { views, copies }
    }
}

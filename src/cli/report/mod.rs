//! A report of a machine ([`record`]): measured within a time that is given ([`measure`]), and written for people to
//! read and attach ([`text`]).

pub(crate) mod measure;
pub(crate) mod record;
pub(crate) mod text;

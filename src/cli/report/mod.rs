//! A report of a machine, written for people to read and attach.

pub(crate) mod text;

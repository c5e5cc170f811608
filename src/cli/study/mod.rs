//! Studies: files of cases, the runs that they ask for, and the report.

pub(crate) mod file;
pub(crate) mod grid;
pub(crate) mod options;
pub(crate) mod report;
pub(crate) mod run;

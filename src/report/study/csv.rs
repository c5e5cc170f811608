//! A study's values as a table.

use super::Study;
use crate::error::Result;

impl Study {
    /// A table with a row for each value, in the order of cases, measures and seeds: the case's
    /// label and place (empty if it has none), the seed, the measure, and the value as a share.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when the rows cannot be written.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        self.write_rows(&mut writer)
            .and_then(|()| writer.into_inner().map_err(|e| e.into_error().into()))
            .map_err(|e| self.problem(format!("its table cannot be written: {e}")))
    }

    fn write_rows(&self, writer: &mut csv::Writer<Vec<u8>>) -> csv::Result<()> {
        writer.write_record(["label", "x", "seed", "measure", "value"])?;
        for case in &self.cases {
            let x = case.x.map(|x| x.to_string()).unwrap_or_default();
            for measure in &self.measures {
                let values = case.measures.get(measure).into_iter().flatten();
                for (seed, value) in values {
                    let [seed, value] = [seed.to_string(), value.to_string()];
                    writer.write_record([&case.label, &x, &seed, measure, &value])?;
                }
            }
        }
        Ok(())
    }
}

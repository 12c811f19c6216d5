//! Groups of rows and what is counted in them.

use crate::input::{Header, Input, Op};
use crate::number;
use csv::ByteRecord;
use serde_json::{json, Map, Value};
use std::collections::{HashMap, HashSet};

/// Threat: a key column with a value of its own in each row would fill the memory with groups.
const MAX_GROUPS: usize = 100_000;

struct Measure {
    op: Op,
    column: Option<usize>,
    name: String,
}

/// Sum with Neumaier's compensation: 0.1 added ten times is 1.
#[derive(Clone, Default)]
struct Accumulator {
    count: u64,
    sum: f64,
    compensation: f64,
    min: f64,
    max: f64,
}

impl Accumulator {
    fn add(&mut self, value: f64) {
        let total = self.sum + value;
        self.compensation += if self.sum.abs() >= value.abs() {
            (self.sum - total) + value
        } else {
            (value - total) + self.sum
        };
        self.sum = total;
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += 1;
    }

    /// Null where there is no value: the smallest of nothing, or a sum beyond a double's range.
    fn answer(&self, op: Op) -> Value {
        let sum = self.sum + self.compensation;
        let value = match op {
            Op::Count => return json!(self.count),
            Op::Sum => Some(sum),
            Op::Avg => (self.count > 0).then(|| sum / self.count as f64),
            Op::Min => (self.count > 0).then(|| self.min),
            Op::Max => (self.count > 0).then(|| self.max),
        };
        value.and_then(number::from_f64).map_or(Value::Null, Value::Number)
    }
}

pub struct Groups {
    keys: Vec<(usize, String)>,
    measures: Vec<Measure>,
    /// In the order of their first row.
    groups: Vec<(Vec<String>, Vec<Accumulator>)>,
    index: HashMap<Vec<String>, usize>,
    columns: Vec<String>,
    row_count: u64,
    ignored_cells: u64,
}

impl Groups {
    pub fn new(input: &Input, header: &Header) -> Result<Groups, String> {
        let mut keys = Vec::new();
        for name in &input.group_by {
            keys.push((header.index(name)?, name.clone()));
        }
        let mut measures = Vec::new();
        for aggregate in &input.aggregates {
            let column = match &aggregate.column {
                Some(name) => Some(header.index(name)?),
                None if aggregate.op == Op::Count => None,
                None => return Err(format!("Cannot use the aggregate \"{}\": it needs a column", aggregate.op.name())),
            };
            let name = aggregate.name.clone().unwrap_or_else(|| match &aggregate.column {
                Some(column) => format!("{}_{column}", aggregate.op.name()),
                None => aggregate.op.name().into(),
            });
            measures.push(Measure { op: aggregate.op, column, name });
        }
        if measures.is_empty() {
            measures.push(Measure { op: Op::Count, column: None, name: "count".into() });
        }
        let columns: Vec<String> =
            keys.iter().map(|(_, name)| name).chain(measures.iter().map(|m| &m.name)).cloned().collect();
        let mut seen = HashSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(format!("Cannot name the answer's columns: {twice:?} comes twice; use \"as\""));
        }
        Ok(Groups { keys, measures, groups: Vec::new(), index: HashMap::new(), columns, row_count: 0, ignored_cells: 0 })
    }

    pub fn add(&mut self, record: &ByteRecord) -> Result<(), String> {
        self.row_count += 1;
        let row = self.row_count;
        let text = |index: usize| {
            let field = record.get(index).unwrap_or_default();
            std::str::from_utf8(field).map_err(|_| format!("Cannot read the CSV: row {row} is not UTF-8"))
        };
        let mut key = Vec::with_capacity(self.keys.len());
        for (index, _) in &self.keys {
            key.push(text(*index)?.to_owned());
        }
        let at = match self.index.get(&key) {
            Some(at) => *at,
            None if self.groups.len() >= MAX_GROUPS => {
                return Err(format!("Cannot group the rows: there are more than {MAX_GROUPS} groups"));
            }
            None => {
                self.index.insert(key.clone(), self.groups.len());
                self.groups.push((key, vec![Accumulator::default(); self.measures.len()]));
                self.groups.len() - 1
            }
        };
        let accumulators = &mut self.groups[at].1;
        for (measure, accumulator) in self.measures.iter().zip(accumulators) {
            let field = match measure.column {
                Some(index) => text(index)?,
                None => {
                    accumulator.count += 1;
                    continue;
                }
            };
            // Empty cells count as no value, as SQL's aggregates treat NULL.
            if field.trim().is_empty() {
                continue;
            }
            match (measure.op, number::lenient(field)) {
                (Op::Count, _) => accumulator.count += 1,
                (_, Some(value)) => accumulator.add(value),
                (_, None) => self.ignored_cells += 1,
            }
        }
        Ok(())
    }

    pub fn answer(self, limit: usize) -> Value {
        let truncated = self.groups.len() > limit;
        let mut rows = Vec::new();
        for (key, accumulators) in self.groups.iter().take(limit) {
            let mut row = Map::new();
            for ((_, name), value) in self.keys.iter().zip(key) {
                row.insert(name.clone(), Value::String(value.clone()));
            }
            for (measure, accumulator) in self.measures.iter().zip(accumulators) {
                row.insert(measure.name.clone(), accumulator.answer(measure.op));
            }
            rows.push(Value::Object(row));
        }
        json!({
            "columns": self.columns,
            "rows": rows,
            "rowCount": self.row_count,
            "ignoredCells": self.ignored_cells,
            "truncated": truncated,
        })
    }
}

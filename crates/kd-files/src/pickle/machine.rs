//! The instructions of a pickle.

use std::collections::HashMap;

use super::{Id, Pickle, Record, Value};

/// The stack machine of a pickle. Every instruction makes at most one value, so that memory grows with the bytes.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
    /// Runs a pickle to its end.
    pub(super) fn run(bytes: &'a [u8]) -> Result<Pickle<'a>, String> {
        let mut machine = Self {
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        loop {
            let start = machine.at;
            let located = |problem| format!("byte {start} of the pickle: {problem}");
            let code = machine.take(1).map_err(located)?[0];
            if code == b'.' {
                return Ok(Pickle {
                    root: machine.pop().map_err(located)?,
                    values: machine.values,
                    length: machine.at,
                });
            }
            machine.step(code).map_err(located)?;
        }
    }

    /// One instruction (names as in Python's `pickletools`).
    fn step(&mut self, code: u8) -> Result<(), String> {
        match code {
            0x80 => match self.take(1)?[0] {
                0..=5 => {}
                version => return Err(format!("pickle protocol {version}")),
            },
            // FRAME: a hint of the length.
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            // Containers.
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' | 0x8f => self.push(Value::List(Vec::new())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' | b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items));
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(pairs(&items)));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            // The memo.
            b'q' => self.remember_at(1)?,
            b'r' => self.remember_at(4)?,
            0x94 => self.remember(self.memo.len())?,
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            // Names and calls.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global { module, name });
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.push(Value::Global { module, name });
            }
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.call(class, arguments);
            }
            // With arguments by name, which no reader here needs.
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(class, arguments);
            }
            b'b' => self.build()?,
            b'Q' => {
                let name = self.pop()?;
                self.push(Value::Outside(name));
            }
            code => self.atom(code)?,
        }
        Ok(())
    }

    /// An instruction that makes a value of its own bytes.
    fn atom(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'N' => Value::Other,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'G' => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Value::Float(f64::from_be_bytes(bytes))
            }
            b'K' => Value::Int(self.unsigned(1)? as i64),
            b'M' => Value::Int(self.unsigned(2)? as i64),
            // Only the widest of the three is signed.
            b'J' => Value::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            0x8a => {
                let length = self.unsigned(1)?;
                long(self.take(length)?)
            }
            b'U' | b'C' => self.byte_string(1)?,
            b'T' | b'B' => self.byte_string(4)?,
            0x8e | 0x96 => self.byte_string(8)?,
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            other => return Err(format!("instruction {other:#04x} is refused")),
        };
        self.push(value);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or_else(|| {
            format!(
                "the pickle is truncated: it ends after {} bytes",
                self.bytes.len()
            )
        })?;
        self.at += count;
        Ok(taken)
    }

    fn unsigned(&mut self, width: usize) -> Result<usize, String> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|&b| b == b'\n')
            .ok_or("a name has no end")?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|error| error.to_string())
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => Err("the pickle's stack is empty".into()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| "the pickle's stack is empty".into())
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let start = self
            .stack
            .len()
            .checked_sub(count)
            .ok_or("the pickle's stack is empty")?;
        let items = self.stack.split_off(start);
        self.push(Value::List(items));
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            Value::Record(record) => record.items.extend(items),
            _ => return Err("items for something that is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(entries) => entries.extend(pairs(items)),
            Value::Record(record) => record.entries.extend(pairs(items)),
            _ => return Err("entries for something that is no dictionary".into()),
        }
        Ok(())
    }

    fn byte_string(&mut self, width: usize) -> Result<Value<'a>, String> {
        let length = self.unsigned(width)?;
        Ok(Value::Bytes(self.take(length)?))
    }

    fn text(&mut self, width: usize) -> Result<Value<'a>, String> {
        let length = self.unsigned(width)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
        Ok(Value::Text(text))
    }

    fn pop_text(&mut self) -> Result<&'a str, String> {
        let id = self.pop()?;
        match self.values[id] {
            Value::Text(text) => Ok(text),
            _ => Err("a name that is no text".into()),
        }
    }

    fn remember_at(&mut self, width: usize) -> Result<(), String> {
        let place = self.unsigned(width)?;
        self.remember(place)
    }

    fn remember(&mut self, place: usize) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Result<(), String> {
        let place = self.unsigned(width)?;
        let id = self
            .memo
            .get(&place)
            .ok_or_else(|| format!("memo {place} is not set"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn call(&mut self, class: Id, arguments: Id) {
        self.push(Value::Record(Box::new(Record {
            class,
            arguments,
            ..Record::default()
        })));
    }

    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Record(record) => record.state = Some(state),
            _ => return Err("a state for something that has none".into()),
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    let pairs = items.chunks_exact(2);
    pairs.map(|pair| (pair[0], pair[1])).collect()
}

/// An integer of any length, smallest byte first.
fn long<'a>(bytes: &[u8]) -> Value<'a> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(place) => place.copy_from_slice(bytes),
        None => return Value::Other,
    }
    Value::Int(i64::from_le_bytes(wide))
}

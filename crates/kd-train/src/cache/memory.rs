//! Answers in memory.

/// Bytes that are taken from the system at a time.
const PAGE: usize = 1 << 20;

/// Answers of equal length in pages, so that growing copies nothing.
#[derive(Debug)]
pub(super) struct Memory {
    pages: Vec<Vec<u8>>,
    answer: usize,
    per_page: usize,
    count: usize,
}

impl Memory {
    pub(super) fn new(answer: usize) -> Self {
        Self {
            pages: Vec::new(),
            answer,
            per_page: (PAGE / answer.max(1)).max(1),
            count: 0,
        }
    }

    /// Takes an answer; the first is number 0.
    pub(super) fn push(&mut self, answer: &[u8]) {
        if self.count == self.pages.len() * self.per_page {
            self.pages
                .push(Vec::with_capacity(self.per_page * self.answer));
        }
        if let Some(page) = self.pages.last_mut() {
            page.extend_from_slice(answer);
        }
        self.count += 1;
    }

    pub(super) fn get(&self, number: usize) -> &[u8] {
        let page = &self.pages[number / self.per_page];
        &page[number % self.per_page * self.answer..][..self.answer]
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.count * self.answer) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_by_number() {
        // 26 pages, and one answer that is larger than a page.
        for (answer, count) in [(1000, 27_000), (PAGE + 1, 3)] {
            let mut memory = Memory::new(answer);
            let made = |i: usize| -> Vec<u8> { (0..answer).map(|b| (i + b) as u8).collect() };
            (0..count).for_each(|i| memory.push(&made(i)));
            for i in [0, 1, 2, count / 2, count - 1] {
                assert_eq!(memory.get(i), made(i), "{i} of {answer}");
            }
            assert_eq!(memory.bytes(), (answer * count) as u64);
        }
    }
}

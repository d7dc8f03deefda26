//! Somebody with a browser: a page, its files within a second, a while of reading, the next page.

use crate::generate::population::{Client, Population};
use crate::generate::random::Random;
use crate::generate::shop::{self, Page};
use crate::generate::stage::{HTTP_2, Stage};

pub(in crate::generate) struct Shopper {
    client: Client,
    page: Page,
    previous: Option<Page>,
    /// Pages still to be opened, and files of the open page still to be loaded.
    pages: u32,
    files: u32,
    /// The number of the next file of the open page.
    file: u32,
    files_at_first: u32,
    files_later: u32,
    sign_in: SignIn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SignIn {
    Elsewhere,
    /// The form is open; so many tries will fail, for people mistype.
    Form {
        mistakes: u32,
    },
}

impl Shopper {
    pub(super) fn arrive(random: &mut Random, population: &Population, seconds: u32) -> Shopper {
        let pages = 1 + random.exponential(4).min(24) as u32;
        Shopper {
            client: population.draw(random),
            page: Page::entrance(random),
            previous: None,
            pages: pages.min(seconds / 16 + 1),
            files: 0,
            file: 0,
            files_at_first: random.between(11, 26),
            files_later: random.between(2, 6),
            sign_in: SignIn::Elsewhere,
        }
    }

    pub(super) fn lines(&self) -> u64 {
        let later = u64::from(self.pages - 1) * u64::from(1 + self.files_later);
        1 + u64::from(self.files_at_first) + later
    }

    pub(super) fn act(&mut self, stage: &mut Stage<'_>) -> Option<u64> {
        if self.files > 0 {
            self.load_file(stage);
            self.files -= 1;
            self.file += 1;
            if self.files > 0 {
                return Some(u64::from(stage.random.between(1, 70)));
            }
        } else if let SignIn::Form { mistakes } = self.sign_in {
            self.submit(stage, mistakes);
        } else {
            self.open_page(stage);
            if self.files > 0 {
                return Some(u64::from(stage.random.between(60, 400)));
            }
        }
        let done = self.pages == 0 && self.sign_in == SignIn::Elsewhere;
        if done { None } else { Some(1500 + stage.random.exponential(14_000).min(120_000)) }
    }

    fn open_page(&mut self, stage: &mut Stage<'_>) {
        let first = self.previous.is_none() && self.file == 0;
        if !first {
            self.previous = Some(self.page);
            self.page = self.page.next(stage.random);
        }
        stage.open(self.client.address, "GET");
        let outdated = first && stage.random.chance(8);
        if outdated {
            // A link from a magazine that printed it two seasons ago.
            stage.text.push_str("/collections/outlet");
            stage.answer(HTTP_2, 404, 5312);
        } else {
            self.page.push_path(stage.text);
            if first && stage.random.chance(220) && !stage.text.ends_with(|last: char| last.is_ascii_digit())
            {
                shop::push_campaign(stage.random, stage.text);
            }
            match stage.random.below(1000) {
                0..12 => stage.answer(HTTP_2, 301, 162),
                12..14 => stage.answer(HTTP_2, 502, 552),
                14..17 => stage.answer(HTTP_2, 499, 0),
                _ => stage.answer(HTTP_2, 200, self.page.bytes()),
            }
        }
        match self.previous {
            Some(previous) => push_page(stage.text, previous),
            None => stage.text.push_str(stage.random.pick(shop::OUTSIDE)),
        }
        stage.close(self.client.browser);
        self.pages -= 1;
        (self.file, self.files) =
            if first { (0, self.files_at_first) } else { (shop::SHARED_FILES, self.files_later) };
        if self.page == Page::SignIn {
            let mistakes = match stage.random.below(100) {
                0..9 => 1,
                9..12 => 2,
                _ => 0,
            };
            self.sign_in = SignIn::Form { mistakes };
        }
    }

    fn load_file(&mut self, stage: &mut Stage<'_>) {
        if self.file > shop::SHARED_FILES && stage.random.chance(90) {
            stage.open(self.client.address, "POST");
            stage.text.push_str("/api/v1/events");
            stage.answer(HTTP_2, 204, 0);
        } else {
            stage.open(self.client.address, "GET");
            if self.page == Page::Home && self.file == 9 {
                stage.text.push_str(shop::MISSING_IMAGE);
                stage.answer(HTTP_2, 404, 146);
            } else {
                let bytes = shop::push_file(self.page, self.file, stage.text);
                let kept =
                    self.client.returning && self.file < shop::SHARED_FILES && stage.random.chance(700);
                let (status, bytes) = if kept { (304, 0) } else { (200, bytes) };
                stage.answer(HTTP_2, status, bytes);
            }
        }
        push_page(stage.text, self.page);
        stage.close(self.client.browser);
    }

    fn submit(&mut self, stage: &mut Stage<'_>, mistakes: u32) {
        stage.open(self.client.address, "POST");
        stage.text.push_str("/login");
        if mistakes > 0 {
            stage.answer(HTTP_2, 401, 4388);
            self.sign_in = SignIn::Form { mistakes: mistakes - 1 };
        } else {
            stage.answer(HTTP_2, 302, 0);
            self.sign_in = SignIn::Elsewhere;
        }
        push_page(stage.text, Page::SignIn);
        stage.close(self.client.browser);
    }
}

fn push_page(text: &mut String, page: Page) {
    text.push_str(shop::SITE);
    page.push_path(text);
}

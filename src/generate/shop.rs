//! The place that is visited: a shop that sells by WhatsApp, and what a request to it looks like.
//!
//! Products and pages are named, not numbered, as shops name them for search engines. So a visitor who looks
//! at twenty products has not enumerated twenty objects.

use crate::generate::random::{Random, mix};
use crate::generate::stage::{push_hexadecimal, push_number};

/// Where the shop is.
pub(super) const SITE: &str = "https://shop.lumen.example";
/// Where its staff answers customers.
pub(super) const DESK: &str = "https://desk.lumen.example";

const ADJECTIVES: &[&str] = &[
    "amber",
    "brushed",
    "cotton",
    "double",
    "enamel",
    "folding",
    "glazed",
    "hand-blown",
    "indigo",
    "juniper",
    "linen",
    "large",
    "matte",
    "nordic",
    "oak",
    "pale",
    "recycled",
    "slim",
    "striped",
    "travel",
    "velvet",
    "walnut",
    "wide",
    "woven",
];
const THINGS: &[&str] = &[
    "apron",
    "basket",
    "blanket",
    "bowl",
    "candle",
    "carafe",
    "chair",
    "clock",
    "coaster-set",
    "cushion",
    "desk-lamp",
    "espresso-cup",
    "floor-lamp",
    "glass",
    "hook",
    "jar",
    "kettle",
    "lantern",
    "mirror",
    "mug",
    "napkin-set",
    "notebook",
    "pendant-lamp",
    "plate",
    "planter",
    "rug",
    "shelf",
    "stool",
    "table-lamp",
    "tea-towel",
    "throw",
    "tray",
    "umbrella-stand",
    "vase",
    "wall-hook",
    "watering-can",
];
const CATEGORIES: &[&str] = &[
    "lighting",
    "kitchen",
    "table",
    "living-room",
    "bedroom",
    "bathroom",
    "garden",
    "office",
    "textiles",
    "gifts",
    "new",
    "sale",
];
const WORDS: &[&str] = &[
    "lamp",
    "espresso+cup",
    "oak+shelf",
    "blue+mug",
    "gift+card",
    "rug+160x230",
    "led+bulb+e27",
    "vase",
    "desk",
    "candle",
    "linen+tablecloth",
    "plant+pot",
    "wall+clock",
    "garden+chair",
    "tea+towel",
    "glass+jar+1l",
    "mirror+round",
    "sale",
];
const ARTICLES: &[&str] = &[
    "how-to-choose-a-lamp",
    "five-small-kitchens",
    "caring-for-oak",
    "autumn-table",
    "order-by-whatsapp",
    "our-glassblowers",
    "light-and-sleep",
    "moving-house-checklist",
];
const HELP: &[&str] =
    &["shipping", "returns", "payment", "whatsapp-orders", "contact", "warranty", "store-pickup", "privacy"];

/// Files every first visit loads, with their sizes.
const ASSETS: &[(&str, u32)] = &[
    ("/assets/app-7d31f0c2.css", 48_213),
    ("/assets/vendor-b81c44e9.js", 182_944),
    ("/assets/app-53e0a9d7.js", 96_402),
    ("/assets/fonts/inter-latin-var.woff2", 48_556),
    ("/assets/fonts/lumen-icons.woff2", 11_208),
    ("/images/logo.svg", 3_146),
    ("/favicon.ico", 15_406),
    ("/images/banners/autumn-light.webp", 118_730),
    ("/images/payment-methods.svg", 7_912),
    ("/assets/chat-widget-0be4f7a1.js", 31_877),
    ("/manifest.webmanifest", 1_122),
    ("/images/banners/order-by-whatsapp.webp", 64_318),
];

/// An image the front page has named ever since somebody renamed the file.
pub(super) const MISSING_IMAGE: &str = "/images/banners/summer-outdoor.webp";

/// A page a visitor can be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Home,
    Category(u16),
    Product(u16),
    Search(u16),
    Article(u16),
    Help(u16),
    Cart,
    Checkout,
    SignIn,
    Account,
}

impl Page {
    /// Where a visit begins.
    pub(super) fn entrance(random: &mut Random) -> Page {
        let number = random.below(4096) as u16;
        match random.below(100) {
            0..35 => Page::Home,
            35..70 => Page::Product(number),
            70..85 => Page::Category(number),
            85..95 => Page::Article(number),
            _ => Page::Help(number),
        }
    }

    /// Where it goes on.
    pub(super) fn next(self, random: &mut Random) -> Page {
        let number = random.below(4096) as u16;
        match (self, random.below(100)) {
            (Page::Cart, 0..45) => Page::Checkout,
            (Page::Product(_), 0..14) => Page::Cart,
            (Page::Home, 0..12) | (Page::Checkout, 0..45) => Page::SignIn,
            (Page::SignIn, _) => Page::Account,
            (_, 0..48) => Page::Product(number),
            (_, 48..74) => Page::Category(number),
            (_, 74..86) => Page::Search(number),
            (_, 86..92) => Page::Home,
            (_, 92..96) => Page::Help(number),
            _ => Page::Article(number),
        }
    }

    pub(super) fn push_path(self, text: &mut String) {
        match self {
            Page::Home => text.push('/'),
            Page::Category(number) => {
                text.push_str("/collections/");
                text.push_str(of(CATEGORIES, number));
                if number % 4 == 1 {
                    text.push_str("?sort=price-asc&page=");
                    text.push(char::from(b'1' + (number % 7) as u8));
                }
            }
            Page::Product(number) => {
                text.push_str("/products/");
                push_product(number, text);
            }
            Page::Search(number) => {
                text.push_str("/search?q=");
                text.push_str(of(WORDS, number));
            }
            Page::Article(number) => {
                text.push_str("/journal/");
                text.push_str(of(ARTICLES, number));
            }
            Page::Help(number) => {
                text.push_str("/help/");
                text.push_str(of(HELP, number));
            }
            Page::Cart => text.push_str("/cart"),
            Page::Checkout => text.push_str("/checkout"),
            Page::SignIn => text.push_str("/login"),
            Page::Account => text.push_str("/account"),
        }
    }

    pub(super) fn bytes(self) -> u64 {
        match self {
            Page::Home => 18_420,
            Page::Category(number) => 14_000 + mix(1, u64::from(number)) % 9_000,
            Page::Product(number) => 9_500 + mix(2, u64::from(number)) % 6_000,
            Page::Search(number) => 7_000 + mix(3, u64::from(number)) % 12_000,
            Page::Article(number) => 12_000 + mix(4, u64::from(number) % 8) % 8_000,
            Page::Help(number) => 6_000 + mix(5, u64::from(number) % 8) % 3_000,
            Page::Cart => 5_904,
            Page::Checkout => 11_377,
            Page::SignIn => 4_212,
            Page::Account => 7_681,
        }
    }
}

/// How many files a first visit finds on every page.
pub(super) const SHARED_FILES: u32 = ASSETS.len() as u32;

/// Writes the path of one of a page's files: shared ones first, then pictures of its own. Returns its size.
pub(super) fn push_file(page: Page, number: u32, text: &mut String) -> u64 {
    if let Some((path, bytes)) = ASSETS.get(number as usize) {
        text.push_str(path);
        return u64::from(*bytes);
    }
    let own = number - SHARED_FILES;
    let shown = match page {
        // Four views of the product itself, then what others bought with it.
        Page::Product(product) if own < 4 => u64::from(product),
        Page::Product(product) => mix(8, u64::from(product) * 64 + u64::from(number)),
        Page::Category(category) => mix(6, u64::from(category) % 12 * 64 + u64::from(number)),
        _ => mix(7, u64::from(number)),
    };
    let product = (shown % 864) as u16;
    text.push_str("/images/products/");
    push_product(product, text);
    text.push_str(of(&[".webp?w=480", ".webp?w=960", "-detail.webp?w=960", ".webp?w=240"], number as u16));
    let bytes = mix(u64::from(product), u64::from(number % 4)) % 90_000 + 6_000;
    bytes * (1 + bytes % 3) / 2
}

/// The label a campaign hangs on the address it sends people to. The names of a click are long.
pub(super) fn push_campaign(random: &mut Random, text: &mut String) {
    let (first, second) = (random.number(), random.number());
    match random.below(4) {
        0 => text
            .push_str("?utm_source=instagram&utm_medium=social&utm_campaign=autumn-light&utm_content=reel"),
        1 => text.push_str("?utm_source=newsletter&utm_medium=email&utm_campaign=2026-11"),
        2 => {
            text.push_str("?gclid=EAIaIQobChMI");
            push_hexadecimal(text, first, 16);
            push_hexadecimal(text, second, 16);
        }
        _ => {
            text.push_str("?fbclid=IwZXh0bgNhZW0CMTEAAR");
            push_hexadecimal(text, first, 16);
            push_hexadecimal(text, second, 16);
            text.push_str("_aem_");
            push_hexadecimal(text, first ^ second, 12);
        }
    }
}

/// Where people come from who were not on the shop before.
pub(super) const OUTSIDE: &[&str] = &[
    "-",
    "-",
    "https://www.google.com/",
    "https://www.google.com/",
    "https://www.google.com/",
    "https://l.instagram.com/",
    "https://l.facebook.com/",
    "https://wa.me/",
    "https://www.bing.com/",
    "https://duckduckgo.com/",
    "https://www.pinterest.com/",
];

/// A number of the kind the interface hands out: six digits.
pub(super) fn push_identifier(text: &mut String, number: u64) {
    push_number(text, 100_000 + number % 800_000);
}

fn push_product(number: u16, text: &mut String) {
    text.push_str(of(ADJECTIVES, number / THINGS.len() as u16));
    text.push('-');
    text.push_str(of(THINGS, number));
}

fn of(names: &[&'static str], number: u16) -> &'static str {
    names[number as usize % names.len()]
}

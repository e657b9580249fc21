//! The words of the small world. Every genre has its own, so a title says what it is about.

/// A genre with the words its titles are made of.
pub(super) struct Genre {
    /// Place among the 19 flags of `u.item` (0 is `unknown`).
    pub(super) flag: usize,
    pub(super) name: &'static str,
    pub(super) adjectives: [&'static str; 5],
    pub(super) nouns: [&'static str; 7],
}

const fn genre(
    flag: usize,
    name: &'static str,
    adjectives: [&'static str; 5],
    nouns: [&'static str; 7],
) -> Genre {
    Genre {
        flag,
        name,
        adjectives,
        nouns,
    }
}

/// The genres there are, a part of those of `u.genre`.
#[rustfmt::skip]
pub(super) const GENRES: [Genre; 10] = [
    genre(1, "Action", ["Burning", "Relentless", "Armoured", "Final", "Explosive"],
        ["Strike", "Convoy", "Pursuit", "Detonator", "Commando", "Ambush", "Fury"]),
    genre(2, "Adventure", ["Lost", "Uncharted", "Golden", "Distant", "Forgotten"],
        ["Expedition", "Island", "Caravan", "Compass", "Voyage", "Treasure", "Summit"]),
    genre(4, "Children's", ["Little", "Merry", "Magic", "Tiny", "Sleepy"],
        ["Rabbit", "Kite", "Pony", "Toyshop", "Playground", "Puppy", "Lantern"]),
    genre(5, "Comedy", ["Clumsy", "Unlucky", "Ridiculous", "Merciless", "Second-Hand"],
        ["Wedding", "Neighbour", "Waiter", "Holiday", "Landlord", "Disguise", "Reunion"]),
    genre(6, "Crime", ["Crooked", "Cold", "Perfect", "Borrowed", "Guilty"],
        ["Alibi", "Heist", "Witness", "Ransom", "Informer", "Verdict", "Safe"]),
    genre(8, "Drama", ["Silent", "Broken", "Long", "Quiet", "Bitter"],
        ["River", "Winter", "Inheritance", "Letter", "Harvest", "Mother", "Farewell"]),
    genre(11, "Horror", ["Haunted", "Screaming", "Buried", "Crawling", "Unholy"],
        ["Cellar", "Grave", "Asylum", "Scarecrow", "Crypt", "Mirror", "Nightmare"]),
    genre(14, "Romance", ["Tender", "Secret", "Summer", "Impossible", "Endless"],
        ["Kiss", "Heart", "Valentine", "Promise", "Rose", "Waltz", "Embrace"]),
    genre(15, "Sci-Fi", ["Electric", "Orbital", "Synthetic", "Quantum", "Dying"],
        ["Planet", "Android", "Starship", "Colony", "Signal", "Reactor", "Nebula"]),
    genre(17, "War", ["Fallen", "Besieged", "Iron", "Wounded", "Last"],
        ["Battalion", "Trench", "Regiment", "Armistice", "Front", "Bridgehead", "Sergeant"]),
];

/// First names of authors.
pub(super) const FIRST_NAMES: [&str; 16] = [
    "Ada", "Bruno", "Clara", "Dorian", "Edith", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla",
    "Leon", "Mira", "Nils", "Olga", "Paul",
];

/// Family names of authors.
pub(super) const FAMILY_NAMES: [&str; 18] = [
    "Abbott",
    "Brandt",
    "Castell",
    "Dunmore",
    "Ellery",
    "Farrow",
    "Gray",
    "Holm",
    "Irving",
    "Jansen",
    "Keller",
    "Lindqvist",
    "Marlowe",
    "Novak",
    "Ostrow",
    "Pell",
    "Quill",
    "Rowan",
];

/// Publishers of books.
pub(super) const PUBLISHERS: [&str; 5] = [
    "Harbour House",
    "North Press",
    "Old Mill Books",
    "Lantern &amp; Sons",
    "Meridian",
];

/// Occupations of `u.user`.
pub(super) const OCCUPATIONS: [&str; 6] = [
    "student",
    "engineer",
    "librarian",
    "writer",
    "teacher",
    "other",
];

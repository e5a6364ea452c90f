"""Strings that tokenizers stumble over, and a small corpus to train vocabularies on."""

from __future__ import annotations

_PLAIN = """
Toy Story (1995)
One Flew Over the Cuckoo's Nest
it's don't we're they've I'll you'd 'tis 'S 'LL rock 'n' roll
they''re '' ' 's 't' ''s x's's 9's 's9 'll 're'll
a'b 'v 've 'l 'r're ?'s .'ll (it's) \u2019s don\u2019t
Dial M for Murder: 3,14 + 2.72 = 5.86; $9.99!
e-mail me at someone@example.com, https://example.com/a?b=c&d=%20
snake_case camelCase SCREAMING kebab-case <b>bold</b> {json: [1, 2]}
#hash @at ^caret `tick` ~tilde |bar| \\ backslash "quotes" *star* a/b
1234567890 0x1F 1e-5 ½ ² ① Ⅳ ٣ 五 १२३
Amélie; Los Olvidados; Señor; Übermensch; Çelik; Ærøskøbing; Žižek; Łódź
Cafe\u0301 cafe\u0301s e\u0301\u0300 a\u0308\u0323 \u0301alone q\u0307\u0323 x\u0338
İstanbul ISPARTA ılık Iğdır DŽ Dž dž ß ẞ ﬁ ﬃ ŉ
ΣΊΣΥΦΟΣ Ὀδυσσεύς ΐ ᾳ Ω Ω Å Å ſ K
Москва Ёлка Ґанок й и\u0306 Їжак
שָׁלוֹם עולם \u200fمرحبا بالعالم\u200f السَّلام ـــ ﷺ
नमस्ते दुनिया क्षत्रिय বাংলা தமிழ் తెలుగు ಕನ್ನಡ മലയാളം
สวัสดีชาวโลก ကမ္ဘာ ភាសាខ្មែរ ລາວ བོད་ཡིག
霸王别姬 我和你 一二三。四,五!六?七 中文English混排 𠀀𪜀 豈 丽 〇 々
もののけ姫 となりのトトロ カタカナ ｶﾀｶﾅ がか\u3099 ゝ ー
기생충 올드보이 각 \u1100\u1161\u11a8 ㄱㄴㄷ
👍 👍🏽 👨\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇩🇪 ❤️ ☺︎ 1️⃣ 🧐 🫠
x🙂y 🙂🙂 ♥♥ ★★★☆☆ → ⇒ ∑∫√ ≠ ≮ € £ ¥ ₿ © ® ™ § ¶ † ‡ • … – — ― ‘ ’ “ ” « » ‹ ›
Z̷̢͝ä̴̡l̶g̵o̸ t\u0335e\u0336x\u0337t
ａｂｃ ＡＢＣ １２３ ！？ 「」『』【】〈〉\u3000全角
𝓜𝓪𝓽𝓱 𝔉𝔯𝔞𝔨 𝟘𝟙𝟚 ℵ ℝ ℃ № ℓ
ꙮ ᏣᎳᎩ Ꭰ ꭰ Ω Ა ა ႠႡ 𐐀𐐨 𞤀𞤢
ᠮᠣᠩᠭᠣᠯ ᐃᓄᒃᑎᑐᑦ ⴰⵎⴰⵣⵉⵖ አማርኛ ᚠᚢᚦ 𒀀𒁀 𓀀𓂀
"""
_ODD = [
    "",
    " ",
    "  ",
    "   \t\n",
    "\t",
    "\n",
    "\r\n",
    "a\tb\nc\r\nd",
    "  two  spaces   three    ",
    " leading",
    "trailing ",
    "a\n\n\nb \n c\n ",
    "\n's \t'll  've",
    "a\x00b\x01c\x07d\x1be\x7ff",
    "a\x0bb\x0cc\x1cd\x1ee\x1ff\x85g",
    "a\u00a0b\u2003c\u2028d\u2029e\u202ff\u205fg\u3000h\u1680i",
    "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg",
    "\ufeffbyte order mark",
    "\ufffdreplaced\ufffd",
    "\ue000private\uf8ff \U000f0000 \U0010fffd",
    "\ufffe\uffff\U0001ffff noncharacters",
    "\u0378\u0380 unassigned \U00040000",
    "\u202eright to left\u202c",
    "\u0600\u06dd\u070f\u180e\ufff9\ufffb\U000e0041",
    "[CLS] [SEP] [PAD] [UNK] [MASK]",
    "a[SEP]b [MASK]c[MASK] [MASK][MASK]",
    "[sep] [ SEP ] [[SEP]] [SEP",
    "<s>a</s> <mask> b <mask>c  <mask>  <unk><pad> < s > <|endoftext|>x<|endoftext|>",
    "  <mask>\n<mask>",
    "w" * 99,
    "w" * 100,
    "w" * 101,
    "é" * 100 + " " + "é" * 101,
    "e\u0301" * 60,
    "a-" * 80,
    "##ing a##b # ## un##able",
    "Ġ Ċ ġhello",
    "supercalifragilisticexpialidocious " * 5,
    "Pneumonoultramicroscopicsilicovolcanoconiosis",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababababab aabbaabb",
    "ab" * 5000,
    "the quick brown fox " * 500,
    "长" * 3000,
    "!" * 500,
    "\u0301" * 300,
    " " * 1000 + "x",
    "\n" * 100 + " x",
    "🙂" * 120,
    "\u1f1e\u0345 ᾞ \u03b1\u0345",
    "\u0958\u09dc\u0f43\u0f69\u2adc",
    "\u212b\u2126\u212a\u2000\u2001",
    "\u0344\u0340\u0341\u0343",
    "\u1e9b\u0323 \u017f",
    "\u01c4\u01c5\u01c6 \u01f1 \u0345",
    "\u2160\u2170 \u24b6\u24d0",
    "\u0130\u0131I i\u0307",
]
TEXTS = [line for line in _PLAIN.splitlines() if line]
TEXTS += [word for line in TEXTS for word in line.split()][::2]
TEXTS += _ODD
CORPUS = [line for line in _PLAIN.splitlines() if line] + [
    "the story of a boy and his toy, and of what they did in the cold winter",
    "an unable man is unlikely to be able; the making of it was breaking and baking",
    "supercalifragilistic expialidocious aab aabb abab",
] * 5

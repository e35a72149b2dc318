"""Wordings from which captions of labelled clips are composed; the grammar is in `prepare.mini.captions`.

Notation: ``*walk`` is a verb that takes the tense of the sentence, ``{their}``/``{they}`` agree with the subject and
``{side}`` becomes left or right. Every list exists twice: "train", and "heldout", which no training caption uses.
What the contents look like was measured on the clips: ``walk-left`` of set 1 drifts diagonally to the left without
turning, ``walk-turn`` turns by 90 degrees, ``bye``, ``guide`` and ``kick`` are done with the right limb, ``respond``
with the left one, ``byebye`` with both hands.
"""

Wordings = dict[str, tuple[str, ...]]

# Content and side of each content name in the files. A one-handed content without a side in its name has one all the
# same, so that a mirrored copy is not described by the words of the original.
CONTENTS: dict[str, tuple[str, str]] = {
    "walk": ("walk", ""),
    "walk-turn-left": ("walk-turn", "left"),
    "walk-turn-right": ("walk-turn", "right"),
    "walk-left": ("walk-diagonal", "left"),
    "walk-right": ("walk-diagonal", "right"),
    "walk-back": ("walk-back", ""),
    "run": ("run", ""),
    "dash": ("dash", ""),
    "wave-left-hand": ("wave", "left"),
    "wave-right-hand": ("wave", "right"),
    "wave-both-hands": ("wave", "both"),
    "raise-up-left-hand": ("raise-up", "left"),
    "raise-up-right-hand": ("raise-up", "right"),
    "raise-up-both-hands": ("raise-up", "both"),
    "bow": ("bow", ""),
    "bye": ("bye", "right"),
    "byebye": ("byebye", "both"),
    "guide": ("guide", "right"),
    "respond": ("respond", "left"),
    "call": ("call", ""),
    "kick": ("kick", "right"),
    "punch": ("punch", ""),
    "slash": ("slash", ""),
    "dance-short": ("dance", ""),
    "dance-long": ("dance", ""),
}

# The two sets name some styles differently.
STYLE_NAMES: dict[str, str] = {
    "old": "elderly",
    "tired": "exhausted",
    "masculinity": "masculine",
    "children": "childish",
}

WALKING = ("walk", "walk-turn", "walk-diagonal", "walk-back")

SUBJECTS: Wordings = {
    "train": (
        "a person",
        "a person",
        "a person",
        "the person",
        "the person",
        "person",
        "this person",
        "someone",
        "somebody",
        "a man",
        "the man",
        "a figure",
        "the figure",
    ),
    "heldout": ("an individual", "a human", "the character", "a participant"),
}
NOUNS: Wordings = {"train": ("person", "person", "man", "figure"), "heldout": ("individual", "human", "character")}
WAYS: Wordings = {"train": ("way", "manner", "fashion"), "heldout": ("style",)}

# Verb phrases by content; "wave" and "raise-up" differ for one hand and for both.
ACTIONS: dict[str, Wordings] = {
    "walk": {
        "train": (
            "*walk forward",
            "*walk forward",
            "*walk forwards",
            "*walk",
            "*walk ahead",
            "*walk straight ahead",
            "*walk straight forward",
            "*walk in a straight line",
            "*walk a short distance",
            "*take several steps forward",
            "*step forward a few times",
            "*move forward step by step",
            "*go forward on foot",
        ),
        "heldout": ("*stroll ahead", "*advance on foot", "*make {their} way forward at a walk"),
    },
    "walk-turn": {
        "train": (
            "*walk forward and *turn {side}",
            "*walk forward and then *turn to the {side}",
            "*walk and *turn to the {side}",
            "*turn to the {side} while walking",
            "*turn {side} while walking forward",
            "*walk forward, then *make a {side} turn",
            "*walk straight and then *turn {side}",
            "*walk forward and *turn 90 degrees to the {side}",
            "*take a {side} turn while walking",
            "*walk ahead and *change direction to the {side}",
            "*walk a few steps, *turn {side} and *keep walking",
            "*walk forward before turning to the {side}",
        ),
        "heldout": (
            "*round a corner to the {side}",
            "*head forward on foot, then *swing round to the {side}",
            "*stroll ahead and *pivot to the {side}",
        ),
    },
    "walk-diagonal": {
        "train": (
            "*walk diagonally to the {side}",
            "*walk diagonally forward to the {side}",
            "*walk forward at an angle to the {side}",
            "*walk forward, drifting to the {side}",
            "*walk forward and slightly to the {side}",
            "*walk forward while moving to the {side}",
            "*move forward and to the {side}",
            "*walk to the {side}",
            "*walk towards the {side}",
            "*walk forward, angling {side}",
            "*walk off to the {side}",
            "*walk {side}",
        ),
        "heldout": (
            "*veer to the {side} while walking",
            "*stroll on a slant to the {side}",
            "*edge {side}wards while walking ahead",
        ),
    },
    "walk-back": {
        "train": (
            "*walk backwards",
            "*walk backwards",
            "*walk backward",
            "*walk back",
            "*walk in reverse",
            "*step backwards",
            "*take several steps back",
            "*take a few steps backwards",
            "*move backwards step by step",
            "*walk backwards in a straight line",
            "*walk straight back without turning around",
            "*back up",
        ),
        "heldout": ("*retreat step by step", "*back away", "*withdraw on foot without turning around"),
    },
    "run": {
        "train": (
            "*run forward",
            "*run forward",
            "*run forwards",
            "*run",
            "*run straight ahead",
            "*run straight forward",
            "*run in a straight line",
            "*run a short distance",
            "*jog",
            "*jog forward",
            "*jog in a straight line",
            "*move forward at a run",
        ),
        "heldout": ("*trot ahead", "*take off running", "*hurry along at a trot"),
    },
    "dash": {
        "train": (
            "*dash forward",
            "*dash ahead",
            "*dash straight ahead",
            "*sprint",
            "*sprint forward",
            "*sprint in a straight line",
            "*run forward very fast",
            "*run at full speed",
            "*run as fast as {they} can",
            "*race forward",
            "*rush forward",
        ),
        "heldout": ("*bolt forward", "*charge ahead", "*tear along at top speed"),
    },
    "wave": {
        "train": (
            "*wave {their} {side} hand",
            "*wave with {their} {side} hand",
            "*wave {their} {side} arm",
            "*wave hello with {their} {side} hand",
            "*raise {their} {side} hand and *wave",
            "*raise {their} {side} arm and *wave it",
            "*wave to someone with {their} {side} hand",
            "*wave at somebody with {their} {side} arm",
            "*lift {their} {side} hand and *wave it from side to side",
            "*stand and *wave {their} {side} hand in the air",
            "*hold up {their} {side} hand and *wave",
            "*use {their} {side} hand to wave",
            "*greet someone by waving {their} {side} hand",
        ),
        "heldout": (
            "*flap {their} {side} hand to and fro in greeting",
            "*hail someone with {their} {side} hand",
            "*swing {their} raised {side} palm back and forth",
        ),
    },
    "wave-both": {
        "train": (
            "*wave both hands",
            "*wave with both hands",
            "*wave both arms",
            "*wave hello with both hands",
            "*raise both hands and *wave",
            "*raise both arms and *wave them",
            "*wave to someone with both hands",
            "*wave at somebody with both arms",
            "*lift both hands and *wave them from side to side",
            "*stand and *wave both hands in the air",
            "*wave both arms above {their} head",
            "*use both hands to wave",
            "*greet someone by waving both hands",
        ),
        "heldout": (
            "*flap the two hands to and fro in greeting",
            "*hail someone with both arms overhead",
            "*swing both raised palms back and forth",
        ),
    },
    "raise-up": {
        "train": (
            "*raise {their} {side} hand",
            "*raise {their} {side} arm",
            "*raise {their} {side} arm up",
            "*lift {their} {side} hand",
            "*lift up {their} {side} arm",
            "*put {their} {side} hand up",
            "*raise {their} {side} hand to head height",
            "*raise {their} {side} hand in the air",
            "*raise {their} {side} arm and *lower it again",
            "*lift {their} {side} hand and then *put it down",
            "*bring {their} {side} hand up and back down",
            "*hold up {their} {side} hand",
            "*move {their} {side} arm up and down once",
        ),
        "heldout": (
            "*stick {their} {side} arm upward",
            "*hoist {their} {side} hand",
            "*extend {their} {side} hand skyward and *drop it",
        ),
    },
    "raise-up-both": {
        "train": (
            "*raise both hands",
            "*raise both arms",
            "*raise both arms up",
            "*lift both hands",
            "*lift up both arms",
            "*put both hands up",
            "*raise both hands to head height",
            "*raise both hands in the air",
            "*raise both arms and *lower them again",
            "*lift both hands and then *put them down",
            "*bring both hands up and back down",
            "*hold up both hands",
            "*move both arms up and down once",
        ),
        "heldout": (
            "*stick both arms upward",
            "*hoist the two hands",
            "*extend both hands skyward and *drop them",
        ),
    },
    "bow": {
        "train": (
            "*bow",
            "*bow",
            "*take a bow",
            "*make a bow",
            "*bow forward",
            "*bow to someone",
            "*bow in greeting",
            "*bend forward at the waist in a bow",
            "*stand still and then *bow",
            "*bow {their} head and upper body",
            "*bend {their} upper body forward to bow",
            "*bow and then *straighten up",
        ),
        "heldout": (
            "*incline {their} torso in salutation",
            "*dip forward to pay {their} respects",
            "*tip {their} trunk forward as a courtesy",
        ),
    },
    "bye": {
        "train": (
            "*wave goodbye with {their} {side} hand",
            "*wave bye with {their} {side} hand",
            "*say goodbye by waving {their} {side} hand",
            "*say goodbye with {their} {side} hand",
            "*raise {their} {side} hand to say goodbye",
            "*lift {their} {side} hand and *wave goodbye",
            "*say bye with a wave of {their} {side} hand",
            "*wave {their} {side} hand to say bye",
            "*gesture goodbye with {their} {side} hand",
            "*use {their} {side} hand to wave goodbye",
            "*stand and *wave goodbye with {their} {side} arm",
        ),
        "heldout": (
            "*bid farewell with {their} {side} hand",
            "*see someone off with {their} {side} hand",
            "*signal a farewell with {their} {side} arm",
        ),
    },
    "byebye": {
        "train": (
            "*wave goodbye with both hands",
            "*wave bye bye with both hands",
            "*say goodbye by waving both hands",
            "*say goodbye with both hands",
            "*raise both hands to say goodbye",
            "*lift both hands and *wave goodbye",
            "*say bye bye with a wave of both hands",
            "*wave both hands to say bye",
            "*gesture goodbye with both hands",
            "*use both hands to wave goodbye",
            "*stand and *wave goodbye with both arms",
        ),
        "heldout": (
            "*bid farewell with both hands",
            "*see someone off with both hands",
            "*signal a farewell with both arms",
        ),
    },
    "guide": {
        "train": (
            "*guide someone with {their} {side} hand",
            "*show the way with {their} {side} hand",
            "*point the way with {their} {side} hand",
            "*hold out {their} {side} hand to show the way",
            "*gesture with {their} {side} hand for someone to go ahead",
            "*invite someone forward with {their} {side} hand",
            "*stretch out {their} {side} arm to guide a guest",
            "*extend {their} {side} hand to give directions",
            "*direct somebody with {their} {side} arm",
            "*stand and *motion the way with {their} {side} hand",
            "*reach forward with {their} {side} hand to guide somebody",
        ),
        "heldout": (
            "*usher someone along with {their} {side} hand",
            "*offer a path to a visitor with {their} {side} hand",
            "*indicate a route with {their} {side} arm",
        ),
    },
    "respond": {
        "train": (
            "*raise {their} {side} hand to respond",
            "*raise {their} {side} hand in reply",
            "*respond to someone by raising {their} {side} hand",
            "*answer by lifting {their} {side} hand",
            "*reply to someone with {their} {side} hand raised",
            "*lift {their} {side} arm to answer somebody",
            "*put up {their} {side} hand to answer a question",
            "*respond with a raised {side} hand",
        ),
        "heldout": (
            "*acknowledge someone by holding up {their} {side} palm",
            "*react to a greeting with {their} {side} palm up",
        ),
    },
    "call": {
        "train": (
            "*call out to someone",
            "*call someone",
            "*call out loudly",
            "*shout to someone far away",
            "*lean forward and *call out to somebody",
            "*call somebody over",
            "*call for someone while leaning forward",
            "*stand and *shout for somebody",
            "*try to get someone's attention by calling",
        ),
        "heldout": ("*holler at someone in the distance", "*lean in and *yell to somebody", "*hail somebody vocally"),
    },
    "kick": {
        "train": (
            "*spin and *kick with {their} {side} leg",
            "*kick with {their} {side} foot while spinning",
            "*turn around and *kick high with {their} {side} leg",
            "*do spinning kicks with {their} {side} leg",
            "*perform a series of kicks with {their} {side} leg",
            "*kick the air with {their} {side} foot",
            "*practice karate kicks with {their} {side} leg",
            "*throw high kicks with {their} {side} leg",
            "*kick several times with {their} {side} leg",
        ),
        "heldout": (
            "*execute whirling roundhouses with {their} {side} leg",
            "*lash out with {their} {side} foot in martial arts moves",
        ),
    },
    "punch": {
        "train": (
            "*punch",
            "*throw punches",
            "*throw several punches forward",
            "*punch the air",
            "*punch with {their} fists",
            "*box against an opponent",
            "*do boxing moves",
            "*take a fighting stance and *punch",
            "*practice punches in a fighting stance",
            "*throw jabs and hooks",
        ),
        "heldout": (
            "*spar with a flurry of blows",
            "*pummel an invisible enemy",
            "*strike out with clenched knuckles",
        ),
    },
    "slash": {
        "train": (
            "*slash with a sword",
            "*swing a sword",
            "*swing a sword with both hands",
            "*fight with an imaginary sword",
            "*slash the air with a sword",
            "*hold a sword with both hands and *slash",
            "*make several cuts with a sword",
            "*practice sword fighting",
            "*swing a weapon from side to side",
        ),
        "heldout": (
            "*hack at something with a blade",
            "*wield a katana against a foe",
            "*cleave the air with a long blade",
        ),
    },
    "dance": {
        "train": (
            "*dance",
            "*dance around",
            "*do a dance",
            "*perform a dance",
            "*perform a dance routine",
            "*dance to music",
            "*dance with {their} arms and legs moving",
            "*do a series of dance moves",
            "*dance on the spot and *turn around",
            "*move {their} whole body in a dance",
        ),
        "heldout": ("*show off some choreography", "*boogie", "*groove to a song"),
    },
}

# Kinds of style wording: "adverb" before the verb or last, "adjective" before the noun and in "in a ... way",
# "subject" a noun phrase that tells the style, "manner" a closing phrase, "look" a participle set off by a comma,
# "gait" a closing phrase for walking only.
STYLES: dict[str, dict[str, Wordings]] = {
    "normal": {
        "adverb": {"train": ("normally", "casually", "naturally"), "heldout": ("ordinarily",)},
        "adjective": {"train": ("normal", "casual", "natural", "regular"), "heldout": ("usual", "neutral")},
        "manner": {
            "train": ("as usual", "at a normal pace", "at a regular pace", "without any particular emotion"),
            "heldout": ("at an average tempo", "in an everyday manner"),
        },
        "gait": {"train": ("at a steady pace", "at a moderate speed"), "heldout": ("at a medium tempo",)},
    },
    "active": {
        "adverb": {
            "train": ("energetically", "actively", "vigorously", "briskly", "enthusiastically", "with energy"),
            "heldout": ("dynamically", "spiritedly"),
        },
        "adjective": {
            "train": ("energetic", "active", "lively", "vigorous", "enthusiastic"),
            "heldout": ("dynamic", "spirited"),
        },
        "manner": {
            "train": (
                "with a lot of energy",
                "full of energy",
                "with great energy",
                "with big, energetic movements",
                "with vigor",
                "with enthusiasm",
            ),
            "heldout": ("brimming with vitality", "with plenty of pep"),
        },
        "look": {
            "train": ("looking energetic", "looking lively", "looking very active"),
            "heldout": ("looking pumped",),
        },
        "gait": {
            "train": ("with big, brisk steps", "with quick, energetic strides"),
            "heldout": ("with sweeping, dynamic strides",),
        },
    },
    "happy": {
        "adverb": {
            "train": ("happily", "cheerfully", "joyfully", "merrily", "gladly"),
            "heldout": ("gleefully", "blissfully"),
        },
        "adjective": {
            "train": ("happy", "cheerful", "joyful", "glad", "delighted"),
            "heldout": ("gleeful", "jolly"),
        },
        "manner": {
            "train": ("with joy", "in a good mood", "full of joy", "with happiness", "as if {they} had good news"),
            "heldout": ("in high spirits", "as though thrilled with life"),
        },
        "look": {
            "train": ("looking happy", "looking cheerful", "feeling very happy", "clearly in a good mood"),
            "heldout": ("looking overjoyed", "beaming with delight"),
        },
        "gait": {"train": ("with a happy bounce", "with cheerful, light steps"), "heldout": ("with a jolly skip",)},
    },
    "sad": {
        "adverb": {
            "train": ("sadly", "unhappily", "gloomily", "sorrowfully"),
            "heldout": ("mournfully", "glumly"),
        },
        "adjective": {
            "train": ("sad", "unhappy", "depressed", "gloomy", "sorrowful"),
            "heldout": ("mournful", "heartbroken"),
        },
        "manner": {
            "train": ("with sadness", "in a bad mood and downcast", "as if about to cry", "full of sorrow"),
            "heldout": ("in deep grief", "as though mourning a loss"),
        },
        "look": {
            "train": ("looking sad", "looking depressed", "feeling down", "hanging {their} head in sadness"),
            "heldout": ("looking miserable", "feeling blue"),
        },
        "gait": {
            "train": ("with slow, sad steps", "slowly with {their} head down in sadness"),
            "heldout": ("with glum, dragging steps",),
        },
    },
    "angry": {
        "adverb": {
            "train": ("angrily", "furiously", "aggressively", "in anger", "in a rage"),
            "heldout": ("irately", "wrathfully"),
        },
        "adjective": {
            "train": ("angry", "furious", "mad", "aggressive", "annoyed"),
            "heldout": ("irate", "enraged"),
        },
        "manner": {
            "train": (
                "with anger",
                "full of anger",
                "as if mad at someone",
                "with angry movements",
                "as if in a fight",
            ),
            "heldout": ("with fiery temper", "as though fuming"),
        },
        "look": {
            "train": ("looking angry", "looking furious", "clearly annoyed", "feeling mad"),
            "heldout": ("seething", "looking livid"),
        },
        "gait": {
            "train": ("with angry stomps", "with hard, angry steps"),
            "heldout": ("with irate, pounding steps",),
        },
    },
    "proud": {
        "adverb": {
            "train": ("proudly", "confidently", "arrogantly", "boastfully"),
            "heldout": ("haughtily", "self-assuredly"),
        },
        "adjective": {
            "train": ("proud", "confident", "arrogant", "boastful"),
            "heldout": ("haughty", "self-assured"),
        },
        "manner": {
            "train": ("with pride", "with {their} chest out", "full of pride", "full of confidence", "like a boss"),
            "heldout": ("with swelling ego", "as though royalty"),
        },
        "look": {
            "train": ("looking proud", "looking confident", "feeling proud", "with {their} chest puffed out"),
            "heldout": ("looking smug", "looking conceited"),
        },
        "gait": {
            "train": ("with long, proud steps", "with {their} head held high"),
            "heldout": ("with a haughty strut",),
        },
    },
    "not-confident": {
        "adverb": {
            "train": ("shyly", "timidly", "nervously", "hesitantly", "without confidence"),
            "heldout": ("bashfully", "sheepishly"),
        },
        "adjective": {
            "train": ("shy", "timid", "nervous", "insecure", "unconfident"),
            "heldout": ("bashful", "meek"),
        },
        "manner": {
            "train": (
                "with little confidence",
                "with no self-confidence",
                "as if unsure of {themself}",
                "with small, nervous movements",
                "with hesitation",
            ),
            "heldout": ("as though doubting everything", "with faint-hearted reserve"),
        },
        "look": {
            "train": ("looking nervous", "looking shy", "not looking confident", "lacking confidence"),
            "heldout": ("looking sheepish", "shrinking with doubt"),
        },
        "gait": {
            "train": ("with small, hesitant steps", "with timid little steps"),
            "heldout": ("with meek, tentative steps",),
        },
    },
    "masculine": {
        "adverb": {
            "train": ("in a manly way", "like a man", "with masculinity", "in a very masculine way"),
            "heldout": ("in a virile manner", "with machismo"),
        },
        "adjective": {"train": ("masculine", "manly", "macho", "burly"), "heldout": ("virile", "rugged")},
        "subject": {
            "train": ("a manly man", "a masculine man", "a tough man", "a macho man", "a strong man"),
            "heldout": ("a virile guy", "a rugged guy"),
        },
        "manner": {
            "train": (
                "like a tough man",
                "like a strong man",
                "like a macho man",
                "with manly movements",
                "with a masculine posture",
                "the way a man does",
            ),
            "heldout": ("like an alpha male", "like a rugged cowboy"),
        },
        "look": {
            "train": ("looking manly", "looking masculine", "acting like a man"),
            "heldout": ("looking virile", "acting like a bodybuilder"),
        },
        "gait": {
            "train": ("with wide, manly steps", "with broad shoulders and masculine strides"),
            "heldout": ("with a rugged stride",),
        },
    },
    "feminine": {
        "adverb": {
            "train": ("in a feminine way", "like a woman", "with femininity", "gracefully like a woman"),
            "heldout": ("in a girlish manner", "daintily"),
        },
        "adjective": {
            "train": ("feminine", "womanly", "ladylike", "very feminine"),
            "heldout": ("girlish", "dainty"),
        },
        "subject": {
            "train": ("a woman", "the woman", "a lady", "a feminine woman", "a graceful woman"),
            "heldout": ("a dainty girl", "a girlish female"),
        },
        "manner": {
            "train": (
                "like a lady",
                "like a graceful woman",
                "with feminine movements",
                "with womanly grace",
                "the way a woman does",
                "in a ladylike pose",
            ),
            "heldout": ("like a fashion model on a catwalk", "like a princess"),
        },
        "look": {
            "train": ("looking feminine", "looking ladylike", "acting like a woman"),
            "heldout": ("looking dainty", "acting girly"),
        },
        "gait": {
            "train": ("with feminine steps", "with swaying hips like a woman"),
            "heldout": ("with dainty, girlish steps",),
        },
    },
    "childish": {
        "adverb": {
            "train": ("childishly", "like a child", "like a kid", "playfully like a child"),
            "heldout": ("immaturely", "in a juvenile manner"),
        },
        "adjective": {"train": ("childish", "childlike", "playful little"), "heldout": ("juvenile", "immature")},
        "subject": {
            "train": ("a child", "the child", "a kid", "a little boy", "a small child", "a little kid"),
            "heldout": ("a toddler", "a preschooler"),
        },
        "manner": {
            "train": ("like a little kid", "like a small child", "the way a child does", "with childish movements"),
            "heldout": ("like a toddler", "like a preschooler at recess"),
        },
        "look": {
            "train": ("acting like a child", "looking childish", "behaving like a kid"),
            "heldout": ("acting like a toddler", "being immature"),
        },
        "gait": {
            "train": ("with small, childish steps", "with skipping steps like a child"),
            "heldout": ("with toddling steps",),
        },
    },
    "elderly": {
        "adverb": {
            "train": ("like an old man", "like an old person", "like an elderly person", "in an old way"),
            "heldout": ("like a pensioner", "decrepitly"),
        },
        "adjective": {
            "train": ("old", "elderly", "very old", "aged"),
            "heldout": ("senile", "ancient"),
        },
        "subject": {
            "train": (
                "an old man",
                "an old person",
                "an elderly man",
                "an elderly person",
                "an old woman",
                "the old man",
                "a senior",
            ),
            "heldout": ("a pensioner", "a frail grandfather"),
        },
        "manner": {
            "train": (
                "like a senior citizen",
                "as if {they} were very old",
                "with a bent back like an old person",
                "with the stiffness of an old man",
                "as old people do",
            ),
            "heldout": ("like a frail grandfather", "like somebody in their nineties"),
        },
        "look": {
            "train": ("hunched over like an old man", "looking old", "looking elderly", "bent over with age"),
            "heldout": ("looking frail and ancient", "stooped like a grandfather"),
        },
        "gait": {
            "train": (
                "slowly like an old man",
                "with the short steps of an old person",
                "slowly, as an elderly person would",
            ),
            "heldout": ("with a grandfather's shuffle",),
        },
    },
    "exhausted": {
        "adverb": {
            "train": ("tiredly", "wearily", "with exhaustion", "without energy", "in exhaustion"),
            "heldout": ("lethargically", "listlessly"),
        },
        "adjective": {
            "train": ("tired", "exhausted", "weary", "very tired", "worn out"),
            "heldout": ("fatigued", "drained"),
        },
        "manner": {
            "train": (
                "with no energy remaining",
                "as if exhausted",
                "as if very tired",
                "with great effort and tiredness",
                "with heavy, tired movements",
            ),
            "heldout": ("as though about to collapse from fatigue", "after a sleepless night"),
        },
        "look": {
            "train": (
                "looking tired",
                "looking exhausted",
                "feeling worn out",
                "seeming very tired",
                "out of breath and tired",
            ),
            "heldout": ("looking fatigued", "utterly drained"),
        },
        "gait": {
            "train": ("slowly with tired steps", "dragging {their} feet in exhaustion"),
            "heldout": ("with lethargic, trudging steps",),
        },
    },
    "musical": {
        "adverb": {
            "train": ("rhythmically", "musically", "to the beat", "in rhythm", "to the music"),
            "heldout": ("in time with a tune", "melodically"),
        },
        "adjective": {"train": ("rhythmic", "musical", "dancing"), "heldout": ("melodic", "funky")},
        "manner": {
            "train": (
                "as if listening to music",
                "as if dancing to music",
                "like in a musical",
                "to the rhythm of a song",
                "with rhythm",
                "with dance-like movements",
            ),
            "heldout": ("like a stage performer", "as though a melody is playing"),
        },
        "look": {
            "train": ("moving to the music", "moving with the rhythm", "feeling the beat", "listening to music"),
            "heldout": ("bopping along to a tune", "following a melody"),
        },
        "gait": {
            "train": ("with dancing steps", "stepping to the beat of the music"),
            "heldout": ("with funky, bopping steps",),
        },
    },
    "giant": {
        "adverb": {
            "train": ("like a giant", "heavily like a giant", "like a huge person", "like a big heavy giant"),
            "heldout": ("like a colossus", "ponderously"),
        },
        "adjective": {"train": ("giant", "huge", "gigantic", "enormous"), "heldout": ("colossal", "towering")},
        "subject": {
            "train": ("a giant", "the giant", "a huge giant", "a big heavy giant"),
            "heldout": ("an ogre", "a colossus"),
        },
        "manner": {
            "train": (
                "with the heavy movements of a giant",
                "as if {they} were a giant",
                "as if {their} body were huge and heavy",
                "like a giant monster",
            ),
            "heldout": ("like an ogre", "like a lumbering troll"),
        },
        "look": {
            "train": ("acting like a giant", "moving like a giant", "looking huge and heavy"),
            "heldout": ("acting like an ogre", "lumbering like a titan"),
        },
        "gait": {
            "train": ("with heavy, giant steps", "stomping like a giant"),
            "heldout": ("with ponderous, lumbering steps",),
        },
    },
    "chimpira": {
        "adverb": {
            "train": ("like a thug", "like a gangster", "like a street punk", "in a thuggish way"),
            "heldout": ("like a hoodlum", "in a loutish manner"),
        },
        "adjective": {
            "train": ("thuggish", "swaggering", "rough and cocky", "rude"),
            "heldout": ("loutish", "rowdy"),
        },
        "subject": {
            "train": ("a thug", "a gangster", "a street punk", "a delinquent", "the gangster"),
            "heldout": ("a hoodlum", "a hooligan"),
        },
        "manner": {
            "train": (
                "like a young gangster",
                "like a delinquent looking for trouble",
                "with the swagger of a thug",
                "in the style of a street gangster",
                "with a cocky swagger",
            ),
            "heldout": ("like a hooligan", "like a yakuza henchman"),
        },
        "look": {
            "train": ("acting like a thug", "acting like a punk", "acting tough like a gangster", "swaggering"),
            "heldout": ("acting like a hooligan", "behaving loutishly"),
        },
        "gait": {
            "train": ("with swaggering steps", "with a gangster's swagger"),
            "heldout": ("with the slouch of a hoodlum",),
        },
    },
    "youthful": {
        "adverb": {
            "train": ("youthfully", "like a young person", "like a teenager", "with youthful energy"),
            "heldout": ("like an adolescent", "with boyish freshness"),
        },
        "adjective": {
            "train": ("young", "youthful", "teenage", "young and fresh"),
            "heldout": ("adolescent", "boyish"),
        },
        "subject": {
            "train": ("a young person", "a young man", "a teenager", "a youth", "the young man"),
            "heldout": ("an adolescent", "a college student"),
        },
        "manner": {
            "train": (
                "like a young man",
                "like a youth",
                "with the lightness of youth",
                "as young people do",
                "with young, springy movements",
            ),
            "heldout": ("like a college student", "like a schoolkid"),
        },
        "look": {
            "train": ("looking young", "looking youthful", "acting like a teenager"),
            "heldout": ("looking like an adolescent", "acting like a student"),
        },
        "gait": {
            "train": ("with light, youthful steps", "with the springy steps of a young person"),
            "heldout": ("with an adolescent's bounce",),
        },
    },
}

# Places where the words of a style read badly ("a natural man", "in an enormous way").
UNFIT_PLACES: dict[str, tuple[str, ...]] = {
    "normal": ("adjective",),
    "giant": ("way",),
}

# Nouns that an adjective of the style goes with, where "man" would contradict it.
STYLE_NOUNS: dict[str, tuple[str, ...]] = {
    "feminine": ("person", "woman", "figure"),
    "masculine": ("person", "man", "man"),
    "elderly": ("person", "man", "woman"),
    "childish": ("person", "boy", "figure"),
}

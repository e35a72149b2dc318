"""Hand-written captions of the clips that have a free-text label; data only.

Keys of `CMU` are the labels in the CMU index. No caption names a side that the label does not name.
"""

Captions = tuple[str, ...]

_BALLET: Captions = ("a person dances ballet.", "a person performs a ballet dance", "the dancer performs ballet moves")
_WALK: Captions = (
    "a person walks forward.",
    "a person walks straight ahead at a normal pace",
    "the person is walking forward normally",
    "someone walks in a straight line",
    "a person takes several steps forward.",
    "a person walks forward while swinging their arms",
    "a man walking forward",
    "a person walks forward at a regular speed.",
)
_RUN: Captions = (
    "a person runs forward.",
    "a person runs straight ahead",
    "the person is running forward quickly",
    "someone jogs in a straight line",
    "a person sprints a short distance.",
    "a man running forward at a fast pace",
)
_FORWARD_JUMP: Captions = (
    "a person jumps forward.",
    "a person does a long jump forward",
    "someone bends their knees and leaps forward",
    "a person swings their arms and jumps forward with both feet",
    "the man takes a big jump forward.",
    "jumping forward once and landing on both feet",
)
_DRIBBLE_FORWARD: Captions = (
    "a person walks forward while dribbling a basketball.",
    "a person dribbles a ball while moving forward",
    "someone bounces a basketball as they walk ahead",
    "the basketball player dribbles the ball down the court",
    "a person moves forward, bouncing a ball with one hand",
)
_DRIBBLE_BACKWARD: Captions = (
    "a person walks backwards while dribbling a basketball.",
    "a person dribbles a ball while moving backwards",
    "someone bounces a basketball as they step back",
    "the basketball player backs up, dribbling the ball",
)
_LAUGH: Captions = (
    "a person laughs.",
    "a person stands and laughs hard",
    "someone bends over laughing",
    "the man is laughing and shaking his upper body",
    "a person laughs out loud, holding their belly",
    "a person cracks up at something funny.",
)
_DRINK: Captions = (
    "a person drinks a soda.",
    "a person drinks from a bottle",
    "someone lifts a bottle to their mouth and drinks",
    "the man takes a sip of a soft drink and lowers it",
    "a person raises a drink to their lips, tilting their head back.",
)
_OPEN_DRINK: Captions = (
    "a person unscrews a bottle cap and drinks soda.",
    "a person opens a bottle and takes a drink",
    "someone twists the cap off a bottle and drinks from it",
    "the man opens a soda bottle, then lifts it to his mouth",
    "a person removes the lid of a bottle and has a sip.",
)
_STEPSTOOL: Captions = (
    "a person sits down on a step stool and then stands up.",
    "a person sits on a low stool and gets back up",
    "someone lowers themselves onto a small stool, rests and rises",
    "the man sits down low, then stands up again",
)
_HIGH_STOOL: Captions = (
    "a person sits on a high stool and then stands up.",
    "a person sits down on a tall stool and gets up again",
    "someone takes a seat on a bar stool, then rises",
    "the man sits on a high chair for a while before standing up",
    "sitting down on a high stool, then getting back on their feet",
)
_LADDER: Captions = (
    "a person climbs a ladder.",
    "a person climbs up a ladder and comes back down",
    "someone grips a ladder and climbs it step by step",
    "the man steps up the rungs of a ladder using hands and feet",
    "climbing up a few rungs of a ladder",
)
_STEPS: Captions = (
    "a person climbs three steps.",
    "a person walks up three stairs and back down",
    "someone steps up a small flight of stairs",
    "the man goes up a few steps, turns around and comes down",
    "walking up 3 steps and down again",
    "a person climbs a short staircase.",
)
_REACH_UP: Captions = (
    "a person jumps up to grab something above them.",
    "a person stands on tiptoe and reaches for something high",
    "someone stretches up on their toes, then jumps to reach an object overhead",
    "the man tries to reach something high by jumping and tiptoeing",
    "reaching up high, standing on the toes and jumping",
)
_WALK_STOP: Captions = (
    "a person stands still, walks and then stops.",
    "a person starts walking and then comes to a stop",
    "someone walks with a dancer's style and stops",
    "the performer steps forward in the style of a pop star, then halts",
)

CMU: dict[str, Captions] = {
    "playground - forward jumps, turn around": (
        "a person jumps forward several times and turns around.",
        "a person does a series of forward jumps, then turns to face the other way",
        "someone hops forward with both feet, turns around and jumps back",
        "the man jumps forward repeatedly on a playground and turns around",
    ),
    "playground - climb": (
        "a person climbs on playground equipment.",
        "a person climbs up and around a climbing frame",
        "someone is climbing with their hands and feet",
        "the man climbs up something and comes back down",
    ),
    "playground - climb, hang, swing": (
        "a person climbs up, hangs from a bar and swings.",
        "a person hangs by their arms and swings back and forth",
        "someone climbs a frame and swings from it",
        "the man holds on to a bar above him and swings",
    ),
    "playground - climb, go under": (
        "a person climbs and then goes under a bar.",
        "a person ducks under something and climbs up a frame",
        "someone climbs on playground equipment and crawls under it",
        "the man bends down to get under a bar and climbs",
    ),
    "playground - climb, sit, dangle legs, descend": (
        "a person climbs up, sits down, dangles their legs and climbs down.",
        "a person sits up high with dangling legs, then descends",
        "someone climbs a frame, sits on top of it and comes down",
        "the man climbs, takes a seat and lets his legs hang before going down",
    ),
    "playground - climb, sit, dangle legs, jump down": (
        "a person climbs up, sits with dangling legs and jumps down.",
        "a person sits on a high bar swinging their legs, then hops off",
        "someone climbs a frame, sits on it and leaps to the ground",
        "the man climbs up, lets his legs hang and jumps down",
    ),
    "playground - climb, sit, dangle legs, rock back, lower self to ground": (
        "a person climbs up, sits, rocks back and lowers themselves to the ground.",
        "a person sits up high, dangles their legs and slowly gets down",
        "someone climbs, sits down, leans back and lets themselves down",
        "the man sits on a bar, rocks backward and lowers himself to the floor",
    ),
    "playground - climb, hang, hold self up with arms straight, swing, drop, sit, dangle legs, go under": (
        "a person climbs, hangs and swings on a bar, then drops down.",
        "a person holds themselves up with straight arms, swings and lets go",
        "someone plays on a climbing frame, hanging, swinging and sitting",
        "the man swings from a bar, drops, sits and goes under it",
    ),
    "playground - climb, swing, lean back, drop": (
        "a person climbs up, swings, leans back and drops to the ground.",
        "a person swings from a frame and lets go",
        "someone hangs on a bar, leans backward and drops down",
        "the man climbs and swings before dropping to the floor",
    ),
    "playground - climb, hang, lean over, jump down": (
        "a person climbs up, hangs, leans over and jumps down.",
        "a person hangs from a bar and then leaps to the ground",
        "someone climbs a frame, leans over it and jumps off",
        "the man climbs, hangs from his arms and jumps down",
    ),
    "playground - climb, pull up, dangle, sit, lower self to ground": (
        "a person climbs, pulls themselves up, sits and gets down again.",
        "a person does a pull up on a bar, dangles and lowers to the ground",
        "someone pulls themselves up a frame and sits on it",
        "the man pulls himself up, sits and slowly lowers himself",
    ),
    "playground - climb, go under, jump down": (
        "a person climbs, goes under a bar and jumps down.",
        "a person ducks under a frame, climbs it and leaps off",
        "someone climbs through playground equipment and jumps to the ground",
        "the man climbs up, passes under something and jumps down",
    ),
    "playground - climb, jump down, dangle, legs push off against": (
        "a person climbs, jumps down, dangles and pushes off with their legs.",
        "a person hangs from a bar and kicks off with their feet",
        "someone climbs a frame, dangles and pushes away with both legs",
        "the man dangles from a bar and pushes himself off",
    ),
    "walk": _WALK,
    "slow walk": (
        "a person walks forward slowly.",
        "a person takes slow steps forward",
        "the person is slowly walking in a straight line",
        "someone walks ahead at a slow pace",
        "a man walks forward in no hurry.",
    ),
    "brisk walk": (
        "a person walks forward briskly.",
        "a person walks quickly in a straight line",
        "someone walks ahead at a fast pace",
        "the man is walking forward in a hurry",
        "walking forward with quick steps",
    ),
    "walk/stride": (
        "a person walks forward with long strides.",
        "a person strides forward",
        "someone takes big steps forward",
        "the man walks ahead, taking large steps",
    ),
    "walk, exaggerated stride": (
        "a person walks forward with exaggerated strides.",
        "a person takes extremely long steps forward",
        "someone walks ahead with oversized steps",
        "the man walks forward, stretching his legs far with each step",
    ),
    "slow walk/stride": (
        "a person walks forward slowly with long strides.",
        "a person slowly takes big steps forward",
        "someone strides ahead at a slow pace",
        "the man walks slowly with large steps",
    ),
    "walk on uneven terrain": (
        "a person walks on uneven ground.",
        "a person steps carefully over rough terrain",
        "someone walks over bumps and keeps their balance",
        "the man walks forward, stepping up and down over obstacles",
        "walking across an uneven surface",
    ),
    "navigate - walk forward, backward, sideways": (
        "a person walks forward, backward and sideways.",
        "a person walks ahead, then back, then side to side",
        "someone moves around in different directions, forwards, backwards and sideways",
        "the man steps forward, walks backward and then sidesteps",
    ),
    "run/jog": _RUN,
    "run": _RUN,
    "jump, balance": (
        "a person jumps and then balances.",
        "a person jumps up, lands and keeps their balance",
        "someone leaps and balances on one leg",
        "the man jumps and then tries to hold his balance",
    ),
    "jump": (
        "a person jumps.",
        "a person jumps up into the air",
        "someone bends their knees and jumps straight up",
        "the person does a jump and lands on both feet",
        "a man jumps high.",
    ),
    "forward jump": _FORWARD_JUMP,
    "Start Walk Stop": _WALK_STOP,
    "Start Hop Stop": (
        "a person stands still, hops and then stops.",
        "a person starts hopping and then comes to a stop",
        "someone hops forward on their feet and halts",
        "the performer hops along like a pop dancer and stops",
    ),
    "punch/strike": (
        "a person throws punches.",
        "a person punches and strikes the air",
        "someone is fighting with their fists",
        "the man hits forward several times in a fighting stance",
        "a person practices punches and blows.",
    ),
    "boxing": (
        "a person is boxing.",
        "a person throws jabs and punches in a boxing stance",
        "someone shadow boxes on the spot",
        "the boxer punches the air while moving around",
        "a man fights with his fists up.",
    ),
    "swordplay": (
        "a person swings a sword.",
        "a person practices sword fighting",
        "someone fights with an imaginary sword",
        "the man slashes and thrusts with a sword",
        "a person makes fencing moves with a weapon in hand.",
    ),
    "bend over, scoop up, rise, lift arm": (
        "a person bends over, scoops something up, rises and lifts an arm.",
        "a person bends down to pick something up and raises it",
        "someone leans over, scoops up an object and lifts it overhead",
        "the man bends down, stands up again and raises his arm",
    ),
    "wash self": (
        "a person washes themselves.",
        "a person rubs their body as if taking a shower",
        "someone scrubs their arms and body with their hands",
        "the man is washing himself all over",
    ),
    "wash windows": (
        "a person washes windows.",
        "a person wipes a window with one hand in circles",
        "someone cleans a large pane of glass",
        "the man reaches up and down wiping a window",
        "a person scrubs a window with a cloth.",
    ),
    "dance - expressive arms, pirouette": (
        *_BALLET,
        "a person moves their arms expressively and does a pirouette.",
        "a dancer waves their arms gracefully and spins",
        "someone dances with flowing arms, then twirls around",
    ),
    "dance - sideways arabesque, turn step, folding arms": (
        *_BALLET,
        "a person stretches one leg out to the side, turns and folds their arms.",
        "a dancer does an arabesque, steps around and folds the arms",
        "someone dances with a raised leg and a turning step",
    ),
    "dance - sideways arabesque, folding arms, bending back": (
        *_BALLET,
        "a person lifts a leg in an arabesque, folds their arms and bends back.",
        "a dancer leans backwards after stretching a leg sideways",
        "someone dances gracefully, bending their back",
    ),
    "dance - quasi-cou-de-pied, raised leg above hip-height, jete en tourant": (
        *_BALLET,
        "a person raises a leg above their hip and does a turning leap.",
        "a dancer lifts one leg very high, then jumps while turning",
        "someone dances, kicking a leg up high and leaping around",
    ),
    "dance - cartwheel-like start, pirouettes, jete": (
        *_BALLET,
        "a person begins like a cartwheel, then spins and leaps.",
        "a dancer does several pirouettes and a jump",
        "someone twirls around and leaps through the air",
    ),
    "dance - small jetes, attitude/arabesque, shifted-axis pirouette, turn": (
        *_BALLET,
        "a person does small leaps, raises a leg behind them and spins.",
        "a dancer hops lightly, holds an arabesque and turns",
        "someone dances with little jumps and a pirouette",
    ),
    "dance - rond de jambe in the air, jete, turn": (
        *_BALLET,
        "a person circles a leg in the air, leaps and turns.",
        "a dancer sweeps one leg around, then jumps and spins",
        "someone dances with a circling leg and a leap",
    ),
    "dance - glissade devant, glissade derriere, attitude/arabesque": (
        *_BALLET,
        "a person glides to the side with small steps and raises a leg behind them.",
        "a dancer makes gliding steps and holds an arabesque",
        "someone slides across the floor, then lifts one leg back",
    ),
    "dance - sideways steps, pirouette": (
        *_BALLET,
        "a person takes sideways steps and does a pirouette.",
        "a dancer steps to the side and spins around",
        "someone dances sideways, then twirls on one foot",
    ),
    "dance - arms held high, pointe tendue a terre, upper body rotation": (
        *_BALLET,
        "a person holds their arms high, points a foot and rotates their upper body.",
        "a dancer stretches a toe to the floor with raised arms",
        "someone twists their torso with their arms above the head",
    ),
    "dance - small jetes, pirouette": (
        *_BALLET,
        "a person does small leaps and a pirouette.",
        "a dancer hops lightly and spins around",
        "someone jumps in little steps, then twirls",
    ),
    "dance - retire derriere, attitude/arabesque": (
        *_BALLET,
        "a person brings a foot to the knee and then stretches the leg behind them.",
        "a dancer skips forward and raises one leg back",
        "someone balances on one leg in an arabesque",
    ),
    "dance - coupe dessous, jete en tourant": (
        *_BALLET,
        "a person does a quick step and a turning leap.",
        "a dancer jumps while turning in the air",
        "someone leaps around in a dance",
    ),
    "dance - coupe dessous, grand jete en tourant": (
        *_BALLET,
        "a person does a quick step and a large turning leap.",
        "a dancer makes a grand leap while turning",
        "someone jumps high through the air with their legs apart and turns",
    ),
    "dance - attitude/arabesque, jete en tourant, bending back": (
        *_BALLET,
        "a person raises a leg behind them, leaps around and bends back.",
        "a dancer does an arabesque and a turning jump, then leans backward",
        "someone waves their arms, jumps while turning and arches their back",
    ),
    "basketball - forward dribble": _DRIBBLE_FORWARD,
    "basketball - backward dribble": _DRIBBLE_BACKWARD,
    "basketball - sideways dribble": (
        "a person moves sideways while dribbling a basketball.",
        "a person dribbles a ball, stepping to the side",
        "someone sidesteps and bounces a basketball",
        "the basketball player shuffles sideways, dribbling the ball",
    ),
    "basketball - forward dribble, 90-degree left turns": (
        "a person dribbles a basketball forward and makes left turns.",
        "a person bounces a ball while walking and turns left again and again",
        "someone walks ahead dribbling, turning to the left several times",
        "the basketball player dribbles forward and turns 90 degrees to the left",
    ),
    "basketball - forward dribble, 90-degree right turns": (
        "a person dribbles a basketball forward and makes right turns.",
        "a person bounces a ball while walking and turns right again and again",
        "someone walks ahead dribbling, turning to the right several times",
        "the basketball player dribbles forward and turns 90 degrees to the right",
    ),
    "basketball - forward dribble, 90-degree right turns, crossover dribble": (
        "a person dribbles a basketball, turns right and switches hands.",
        "a person bounces a ball while walking, with right turns and a crossover dribble",
        "someone dribbles from one hand to the other, turning to the right",
        "the basketball player dribbles forward, crosses over and turns right",
    ),
    "basketball - low, fast free style dribble, dribble through legs": (
        "a person dribbles a basketball low and fast, and through their legs.",
        "a person bounces a ball between their legs",
        "someone does freestyle basketball dribbling",
        "the basketball player crouches and dribbles quickly through the legs",
    ),
    "basketball - crossover dribble, shoot": (
        "a person does a crossover dribble and shoots the ball.",
        "a person dribbles a basketball from hand to hand and then shoots",
        "someone bounces a ball, switches hands and throws it at the hoop",
        "the basketball player crosses over and takes a shot",
    ),
    "basketball - dribble, shoot": (
        "a person dribbles a basketball and shoots.",
        "a person bounces a ball and then throws it at the basket",
        "someone dribbles, jumps and takes a shot",
        "the basketball player dribbles the ball and shoots it with both hands",
    ),
    "soccer - kick ball": (
        "a person kicks a soccer ball.",
        "a person runs up and kicks a ball",
        "someone takes a few steps and kicks a football far",
        "the soccer player kicks the ball hard",
        "a man steps forward and kicks something.",
    ),
    "sit on high stool, stand up": _HIGH_STOOL,
    "sit on stepstool, stand up": _STEPSTOOL,
    "sit on stepstool, stand up, swing legs": (
        "a person sits on a step stool, stands up and swings their legs.",
        "a person sits down low, gets up and swings their legs",
        "someone rests on a small stool, moving their legs, and stands up",
        "the man sits on a low stool and swings his legs",
    ),
    "sit on stepstool, ankle on other knee, hand on chin": (
        "a person sits on a step stool with an ankle on the other knee and a hand on the chin.",
        "a person sits with crossed legs and rests their chin on a hand",
        "someone sits down low and thinks, hand on chin",
        "the man sits on a small stool with one ankle over the knee",
    ),
    "unscrew bottlecap, drink soda": _OPEN_DRINK,
    "unscrew bottlecap, drink soda, screw on bottlecap": (
        "a person unscrews a bottle cap, drinks soda and screws the cap back on.",
        "a person opens a bottle, takes a drink and closes it",
        "someone twists a cap off, drinks and puts the cap back",
        "the man opens a soda, sips from it and seals it again",
    ),
    "drink soda": _DRINK,
    "drink soda, screw on bottlecap": (
        "a person drinks soda and screws the cap back on the bottle.",
        "a person takes a drink and closes the bottle",
        "someone sips from a bottle, then twists the cap on",
        "the man drinks a soda and puts the lid back on",
    ),
    "jump up to grab, reach for, tiptoe": _REACH_UP,
    "laugh": _LAUGH,
    "direct traffic, wave": (
        "a person directs traffic and waves.",
        "a person signals cars with their arms like a police officer",
        "someone waves traffic through with hand signals",
        "the man stands and directs vehicles, waving his arms",
    ),
    "jumping jacks, side twists, squats, jog": (
        "a person does jumping jacks, side twists and squats, then jogs in place.",
        "a person exercises with jumping jacks, twists, squats and jogging",
        "someone warms up with several exercises and runs on the spot",
        "the man does a workout of jumping jacks, twisting, squatting and jogging",
    ),
    "jumping jacks, side twists, bend over, jog": (
        "a person does jumping jacks and side twists, bends over and jogs in place.",
        "a person exercises with jumping jacks, twists, toe touches and jogging",
        "someone warms up by jumping, twisting, bending over and running on the spot",
        "the man does a workout of jumping jacks, twists and bends, then jogs",
    ),
    "climb ladder": _LADDER,
    "climb 3 steps": _STEPS,
}

ANIMATED_DRAWINGS: dict[str, Captions] = {
    "dab": (
        "a person does a dab.",
        "a person dabs, hiding their face in one elbow with the other arm stretched out",
        "someone strikes a dab pose",
        "the man drops his head into his bent arm and extends the other arm",
    ),
    "jumping": (
        "a person jumps.",
        "a person jumps up and down",
        "someone bends their knees and leaps into the air",
        "the man is jumping",
    ),
    "wave_hello": (
        "a person waves hello.",
        "a person raises a hand and waves",
        "someone greets with a wave of the hand",
        "the man lifts his arm and waves hello",
    ),
    "zombie": (
        "a person walks like a zombie.",
        "a person staggers forward with both arms stretched out in front",
        "someone shuffles ahead like the undead",
        "the man walks stiffly with his arms out like a monster",
    ),
    "jumping_jacks": (
        "a person does jumping jacks.",
        "a person jumps while raising both arms and spreading their legs",
        "someone exercises by doing jumping jacks",
        "the man performs several jumping jacks in place",
    ),
    "jesse_dance": (
        "a person dances.",
        "a person does an energetic dance",
        "someone performs dance moves with their arms and legs",
        "the man dances to music on the spot",
    ),
}

"""Pairs of long answers as models write them: three to eight sentences."""

from __future__ import annotations

from typing import Final

SAME: Final = [
    (
        "To reset your password, open the sign-in page and click Forgot password. Enter the email address of "
        "your account. We will send you a link that works for one hour. Follow it and choose a new password.",
        "On the sign-in page there is a link called Forgot password. Click it and type in the email address "
        "your account is registered with. You will get a mail with a link, valid for 60 minutes, where you can "
        "set a new password.",
    ),
    (
        "Photosynthesis is the process by which plants make sugar from light. Chlorophyll in the leaves absorbs "
        "sunlight. With that energy the plant turns carbon dioxide and water into glucose. Oxygen is released "
        "as a by-product.",
        "Plants use photosynthesis to produce their food. They take in carbon dioxide and water, and the energy "
        "of sunlight, captured by the chlorophyll of their leaves, converts these into glucose. Oxygen is given "
        "off along the way.",
    ),
    (
        "You can return an item within 30 days of delivery. It must be unused and in its original packaging. "
        "Print the label from your order page and drop the parcel at any post office. The refund takes about "
        "five business days.",
        "Returns are accepted for 30 days after delivery, as long as the product is unused and still in its "
        "original packaging. Get a shipping label from your order page, take the parcel to a post office, and "
        "expect your money back in around five working days.",
    ),
    (
        "A list in Python can be changed after it was created, a tuple cannot. Lists are written with square "
        "brackets and tuples with parentheses. Because they never change, tuples can be keys of a dictionary. "
        "Use a list when the items vary and a tuple when they are fixed.",
        "The main difference is mutability: lists can be modified, while tuples are fixed once made. You write "
        "a list as [1, 2] and a tuple as (1, 2). Tuples are hashable, so a dictionary accepts them as keys. "
        "Choose lists for collections that change and tuples for those that don't.",
    ),
    (
        "Boil the eggs for ten minutes if you want them hard. Start with boiling water and lower them in gently. "
        "When the time is up, put them in ice water for five minutes. That makes them easier to peel.",
        "For hard-boiled eggs, bring the water to a boil first and carefully add the eggs. Let them cook for 10 "
        "minutes. Then move them to an ice bath for 5 minutes, which helps the shell come off.",
    ),
    (
        "The French Revolution began in 1789. The state was nearly bankrupt and bread was expensive. Commoners "
        "paid most of the taxes while nobles and clergy paid few. Ideas of the Enlightenment made people "
        "question the monarchy.",
        "Several causes led to the French Revolution of 1789. The crown's finances were in ruins, food prices "
        "were high, and the tax burden fell on the third estate while the privileged orders were largely exempt. "
        "Enlightenment thinking had also undermined faith in the king.",
    ),
    (
        "Compound interest is interest on interest. Each period the interest is added to the principal, and the "
        "next period it earns interest too. For example, 100 dollars at 5 percent are 105 after one year and "
        "110.25 after two. Over decades this makes a large difference.",
        "With compound interest you earn a return not just on what you put in but also on earlier interest. "
        "Suppose you invest $100 at 5% a year: you have $105 after the first year and $110.25 after the second. "
        "The longer it runs, the more it adds up.",
    ),
    (
        "First make sure that the router has power. Unplug it, wait thirty seconds and plug it in again. If the "
        "light still blinks red, check the cable to the wall. If nothing helps, call your provider.",
        "Check that your router is switched on. Restart it by pulling the plug for 30 seconds. Should the red "
        "light keep blinking, see whether the cable to the wall socket is loose. Otherwise contact your "
        "internet provider.",
    ),
    (
        "Vaccines train the immune system. They contain a harmless part of a germ or instructions to make one. "
        "The body responds with antibodies and memory cells. When the real germ comes, it is recognised and "
        "fought quickly.",
        "A vaccine shows your immune system a harmless piece of a pathogen, or tells your cells how to build "
        "one. In response you form antibodies and memory cells. Later, if you are exposed to the real thing, "
        "your body can react fast.",
    ),
    (
        "Your first invoice is higher because it covers two months. We bill in advance, and your plan started "
        "in the middle of the month. So it holds the rest of the first month and all of the next. From then on "
        "you pay the normal amount.",
        "The first bill includes the remaining days of the month you joined in and the full following month, "
        "since we charge ahead of time. That is why it looks larger than expected. The invoices after that "
        "will be for the regular price.",
    ),
    (
        "Git merge joins two branches with a new commit and keeps their history as it was. Git rebase moves "
        "your commits on top of another branch and rewrites them. Rebase gives a straight history. Do not "
        "rebase commits that others already have.",
        "Merging creates a commit that ties both branches together, leaving existing commits untouched. "
        "Rebasing replays your commits onto the tip of another branch, so they get new hashes and the history "
        "is linear. Avoid rebasing anything you have already shared.",
    ),
    (
        "Black holes form when massive stars run out of fuel. Without the pressure of fusion the core collapses "
        "under its own gravity. If it is heavy enough, nothing can stop the collapse. What remains is a region "
        "that not even light can leave.",
        "When a very massive star has burned all its fuel, fusion no longer holds up its core. Gravity makes "
        "the core fall in on itself, and above a certain mass nothing can halt that. The result is a black "
        "hole, from which light itself cannot escape.",
    ),
    (
        "Water your succulents only when the soil is completely dry. In summer that is about every two weeks, "
        "in winter once a month. Use a pot with a hole so that water can drain. Too much water makes the roots "
        "rot.",
        "Succulents need little water. Wait until the soil has dried out entirely, which takes roughly two "
        "weeks in summer and a month in winter. The pot should have drainage, because the roots rot if they "
        "stay wet.",
    ),
    (
        "Inflation is a general rise of prices. It means that money buys less than before. Central banks fight "
        "it by raising interest rates, which makes loans dearer and slows spending. Many of them aim at two "
        "percent a year.",
        "When prices go up across the economy and each dollar buys less, we speak of inflation. To bring it "
        "down, a central bank raises interest rates, so that borrowing costs more and people spend less. A "
        "common target is 2% per year.",
    ),
    (
        "Yes, you can use your card abroad. Payments in the euro zone are free. In other currencies we take a "
        "fee of 1.5 percent. Cash withdrawals are limited to 500 euros a day.",
        "Yes, the card works in other countries. There is no charge within the euro zone, while purchases in "
        "another currency cost 1.5%. You may take out up to €500 in cash per day.",
    ),
    (
        "A heat pump moves heat instead of making it. A refrigerant takes up heat outside and evaporates. The "
        "compressor squeezes it, which makes it hot. Inside it gives off the heat and condenses again.",
        "Heat pumps do not generate heat, they transport it. Outdoors a refrigerant absorbs warmth and turns "
        "into gas, which a compressor then heats up by compressing it. Indoors the gas becomes liquid again "
        "and releases its warmth to the house.",
    ),
    (
        "Shingles is caused by the same virus as chickenpox. After chickenpox the virus stays in nerve cells. "
        "Years later it can become active again and cause a painful rash on one side of the body. A vaccine "
        "is recommended from the age of 50.",
        "The varicella virus, which gives children chickenpox, remains in the nerves for life. If it wakes up "
        "decades later, the result is shingles: a rash that hurts and usually affects a single side. People "
        "of 50 and older should be vaccinated.",
    ),
    (
        "To cancel, go to Settings, then Billing, and choose Cancel plan. Your access goes on until the end of "
        "the period you have paid for. We keep your data for 90 days. You can come back any time before that.",
        "Open the Billing tab of your settings and select Cancel plan. You will still have access until your "
        "paid period runs out. Your data is stored for another 90 days, in case you decide to return.",
    ),
    (
        "The Great Wall was not built at once. Early walls date from the seventh century BC. Most of what "
        "stands today was built under the Ming dynasty. It was to keep out raiders from the north.",
        "China's Great Wall grew over many centuries, beginning with walls from the 7th century BC. The parts "
        "that visitors see now are mostly from the Ming dynasty. Their purpose was defence against raids from "
        "the north.",
    ),
    (
        "An index speeds up queries that look for certain values of a column. The database then need not read "
        "every row. But each insert and update must also change the index. So create indexes for the columns "
        "you search by, and no more.",
        "With an index on a column the database can find matching rows without scanning the whole table. The "
        "price is that writes get slower, since the index has to be maintained. Index what you filter on and "
        "leave out the rest.",
    ),
]
"""The same in other words."""

DETAIL: Final = [
    (one, one.replace(old, new))
    for (one, _), (old, new) in zip(
        SAME,
        [
            ("works for one hour", "works for one day"),
            ("Oxygen is released", "Nitrogen is released"),
            ("must be unused", "may be used"),
            ("a tuple cannot", "a tuple can too"),
            ("ten minutes", "four minutes"),
            ("in 1789", "in 1798"),
            ("110.25", "110.52"),
            ("blinks red", "blinks green"),
            ("is recognised and", "is not recognised and"),
            ("because it covers two months", "because it covers three months"),
        ],
        strict=False,
    )
]
"""The same words, but for one detail that contradicts."""

TURNED: Final = [
    (one, other.replace(old, new))
    for (one, other), (old, new) in zip(
        SAME[10:],
        [
            ("Avoid rebasing", "Prefer rebasing"),
            ("light itself cannot escape", "only light itself can escape"),
            ("roughly two weeks in summer", "roughly two days in summer"),
            ("raises interest rates, so that borrowing costs more",
             "lowers interest rates, so that borrowing costs less"),
            ("There is no charge within", "There is a charge of 3% within"),
            ("Outdoors a refrigerant absorbs", "Outdoors a refrigerant gives off"),
            ("People of 50 and older should", "People of 50 and older should not"),
            ("for another 90 days", "for another 30 days"),
            ("against raids from the north", "against raids from the south"),
            ("writes get slower", "writes get faster"),
        ],
        strict=True,
    )
]  # fmt: skip
"""Other words, and one detail that contradicts."""

CONTRADICT: Final = DETAIL + TURNED

OTHER: Final = [
    (one, other)
    for (one, _), other in zip(
        SAME,
        [
            "To change the email address of your account, sign in and open Profile. Type the new address and "
            "click Save. We will send a link to confirm it. Until you follow that link, the old address stays.",
            "Cellular respiration is how cells get energy from sugar. Glucose and oxygen are turned into carbon "
            "dioxide and water. Most of it happens in the mitochondria. The energy is stored as ATP.",
            "You can exchange an item for another size within 14 days. Choose the size on your order page and "
            "we send it at once. Put the old one in the same box. The courier takes it when he delivers.",
            "A set in Python holds each item once and has no order. A dictionary maps keys to values. Both are "
            "written with curly brackets. Looking something up takes the same time however large they are.",
            "Poach the eggs in water that barely simmers. Add a spoon of vinegar and stir. Break each egg into "
            "a cup and let it slide in. After three minutes lift it out with a slotted spoon.",
            "The Russian Revolution took place in 1917. The war had cost millions of lives and food was short "
            "in the cities. The tsar abdicated in March. In November the Bolsheviks took power.",
            "Simple interest is paid on the principal alone. It does not grow from period to period. On 100 "
            "dollars at 5 percent you get 5 dollars each year. Some car loans work that way.",
            "To change the name of your network, open the page of the router in a browser. Sign in with the "
            "password on its back. Under Wireless you can type a new name. All devices must connect again.",
            "Antibiotics kill bacteria or stop them from growing. Some burst the wall of the cell, others block "
            "its proteins. They do nothing against viruses. Take them to the end, even if you feel better.",
            "You can pay your invoice by card or by bank transfer. Card payments are booked at once. A transfer "
            "takes up to three days. Please give the number of the invoice as the reference.",
        ],
        strict=False,
    )
]
"""Answers to two questions that are alike and not the same."""

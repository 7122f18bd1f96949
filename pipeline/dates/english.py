"""The English words for times, as spoken and as typed in a hurry."""

from __future__ import annotations

from pipeline.dates.expression import UNITS
from pipeline.dates.words import Kind, Vocabulary

ENGLISH = Vocabulary(
    {
        Kind.WEEKDAY: {
            0: "monday, mon, mondy",
            1: "tuesday, tue, tues",
            2: "wednesday, wed, weds, wednesdy",
            3: "thursday, thu, thur, thurs",
            4: "friday, fri",
            5: "saturday, sat",
            6: "sunday, sun",
        },
        Kind.MONTH: {
            1: "january, jan",
            2: "february, feb",
            3: "march, mar",
            4: "april, apr",
            5: "may",
            6: "june, jun",
            7: "july, jul",
            8: "august, aug",
            9: "september, sept, sep",
            10: "october, oct",
            11: "november, nov",
            12: "december, dec",
        },
        Kind.NAMED_DAY: {
            -2: "the day before yesterday, day before yesterday",
            -1: "yesterday, yday",
            0: "today, tday, 2day",
            1: (
                "tomorrow, tomorow, tommorow, tommorrow, tomoz, tomo, tmrw, tmr, tmw, tmoro, tmorrow, "
                "2moro, 2morrow, 2mrw, 2moz, the next day, next day, the following day, following day"
            ),
            2: "the day after tomorrow, day after tomorrow, the day after tmrw, day after tmrw, overmorrow",
        },
        Kind.HOLIDAY: {
            (1, 1): "new years day, new year",
            (2, 14): "valentines day, valentines",
            (10, 31): "halloween",
            (12, 24): "christmas eve, xmas eve",
            (12, 25): "christmas day, christmas, xmas",
            (12, 26): "boxing day",
            (12, 31): "new years eve, nye",
        },
        Kind.NUMBER: {
            0: "zero",
            1: "one",
            2: "two",
            3: "three",
            4: "four",
            5: "five",
            6: "six",
            7: "seven",
            8: "eight",
            9: "nine",
            10: "ten",
            11: "eleven",
            12: "twelve",
            13: "thirteen",
            14: "fourteen",
            15: "fifteen",
            16: "sixteen",
            17: "seventeen",
            18: "eighteen",
            19: "nineteen",
            20: "twenty",
            30: "thirty",
            40: "forty, fourty",
            50: "fifty",
            60: "sixty",
            70: "seventy",
            80: "eighty",
            90: "ninety",
        },
        Kind.ORDINAL: {
            1: "first",
            2: "second",
            3: "third",
            4: "fourth",
            5: "fifth",
            6: "sixth",
            7: "seventh",
            8: "eighth",
            9: "ninth",
            10: "tenth",
            11: "eleventh",
            12: "twelfth",
            13: "thirteenth",
            14: "fourteenth",
            15: "fifteenth",
            16: "sixteenth",
            17: "seventeenth",
            18: "eighteenth",
            19: "nineteenth",
            20: "twentieth",
            30: "thirtieth",
        },
        Kind.UNIT: {
            UNITS["second"]: "second, seconds, sec, secs",
            UNITS["minute"]: "minute, minutes, min, mins, m",
            UNITS["hour"]: "hour, hours, hr, hrs, h",
            UNITS["day"]: "day, days, d",
            UNITS["week"]: "week, weeks, wk, wks, w",
            UNITS["fortnight"]: "fortnight, fortnights",
            UNITS["month"]: "month, months, mth, mths",
            UNITS["year"]: "year, years, yr, yrs",
        },
        Kind.PERIOD: {
            "weeks": "week, wk",
            "weekends": "weekend, wkend, wknd, weekends, week end",
            "months": "month",
            "years": "year",
        },
        Kind.PART: {
            "early": "early, first thing, first thing in the, first thing on, bright and early",
            "morning": "morning, mornin, morn",
            "noon": "noon, midday, mid day, noontime",
            "lunch": "lunchtime, lunch time, lunch",
            "after lunch": "after lunch, after lunchtime",
            "afternoon": "afternoon, arvo, aft",
            "day's end": (
                "end of day, end of the day, the end of the day, the end of day, days end, eod, close of "
                "business, cob, end of business, close of play, end of the working day, end of work, after "
                "work, end of the afternoon"
            ),
            "evening": "evening, eve, evenin",
            "night": "night, nite, nighttime, night time",
            "midnight": "midnight",
        },
        Kind.TODAYS_PART: {(0, "night"): "tonight, tonite, 2nite, 2night, tnight, to night"},
        Kind.MERIDIEM: {0: "am, a m", 12: "pm, p m"},
        Kind.OFFSET: {-1: "last, previous", 0: "this, current", 1: "next, following, nxt", 2: "after next"},
        Kind.COMING: {True: "coming, this coming, upcoming, this upcoming"},
        Kind.LAST: {True: "last, final"},
        Kind.EDGE: {
            "start": "start of, the start of, beginning of, the beginning of, early, early in",
            "middle": "middle of, the middle of, mid",
            "end": "end of, the end of, late, late in",
        },
        Kind.COUPLE: {2: "couple, couple of", 3: "few"},
        Kind.HALF: {True: "half"},
        Kind.QUARTER: {True: "quarter, quarters"},
        Kind.AND: {True: "and, n, &, +"},
        Kind.PAST: {True: "past, after, gone"},
        Kind.TOWARD: {True: "to, till, til, before, of"},
        Kind.OH: {True: "oh, o"},
        Kind.AT: {True: "at, by"},
        Kind.OCLOCK: {True: "oclock, o clock, oclk"},
        Kind.FROM: {True: "from, between"},
        Kind.BETWEEN: {True: "between"},
        Kind.TO: {True: "to, till, til, until, untill, through, thru, up to, up until, ending, finishing"},
        Kind.IN: {True: "in, within, in about, in like, in the next, within the next"},
        Kind.FOR: {True: "for, lasting, for about"},
        Kind.ON: {True: "on, from"},
        Kind.AGO: {True: "ago, back"},
        Kind.BEFORE: {True: "before, prior to, ahead of"},
        Kind.AFTER: {True: "after, following"},
        Kind.NOW: {True: "now, right now, asap, immediately, right away, straight away, this minute"},
        Kind.SOON: {True: "later, later on, soon, within the hour, in a bit, in a while, in a little while"},
        Kind.ARTICLE: {True: "a, an"},
        Kind.THE: {True: "the, on"},
        Kind.FILLER: {
            True: (
                "at, on, in, by, around, about, approx, approximately, roughly, circa, ish, or so, from, "
                "between, starting, starting at, starting from, starts, starts at, start, start at, "
                "beginning, beginning at, please, pls, plz, the, of, for, sharp, exactly, precisely, on "
                "the dot, prompt, time, sometime, some time, anytime, any time, due, no later than, "
                "latest, at the latest, not later than, as of, come, say, like, just, then, later, late, "
                "mid, a, all day, the whole day, whole day, the whole of, over, over the, "
                "local time, during, during the day, ok, okay, and then"
            )
        },
    }
)

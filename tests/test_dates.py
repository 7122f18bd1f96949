"""Time expressions to dates: the planning conventions case by case, then the many ways of saying a time.

Everything is said on Tuesday 3 February 2026 at 10:20 unless a test says otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dates import DateError, Moment, parse_duration, parse_end, parse_moment

NOW = datetime(2026, 2, 3, 10, 20)
SEEDS = Path(__file__).parents[1] / "training" / "seeds"


def show(moment: Moment) -> str:
    """Return a moment as the tables below write it: "2026-02-06", "2026-02-06 15:00 > 2026-02-06 16:00"."""
    start = f"{moment.start:%Y-%m-%d}" if moment.all_day else f"{moment.start:%Y-%m-%d %H:%M}"
    if moment.end is None:
        return start
    whole_days = moment.all_day and f"{moment.end:%H:%M:%S}" == "23:59:59"
    return f"{start} > {moment.end:%Y-%m-%d}" if whole_days else f"{start} > {moment.end:%Y-%m-%d %H:%M}"


def say(text: str, now: datetime = NOW) -> str:
    return show(parse_moment(text, now))


def cases(table: str) -> list[tuple[str, str]]:
    """Return the rows `said = meant` of a table."""
    rows = [line.split(" = ") for line in table.strip().splitlines() if line.strip()]
    return [(said.strip(), meant.strip()) for said, meant in rows]


# The conventions


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        Friday            = 2026-02-06
        this Friday       = 2026-02-06
        on this Friday    = 2026-02-06
        the Friday        = 2026-02-06
        next Friday       = 2026-02-13
        Friday next week  = 2026-02-13
        next week Friday  = 2026-02-13
        Monday            = 2026-02-09
        next Monday       = 2026-02-09
        Tuesday           = 2026-02-10
        this Tuesday      = 2026-02-10
        next Tuesday      = 2026-02-10
        Sunday            = 2026-02-08
        next Sunday       = 2026-02-15
    """),
)
def test_a_weekday_is_the_next_one_and_next_friday_that_of_the_following_week(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("now", "friday", "next_friday"),
    [
        ("2026-02-01", "2026-02-06", "2026-02-06"),  # a Sunday: the following week begins tomorrow
        ("2026-02-02", "2026-02-06", "2026-02-13"),
        ("2026-02-05", "2026-02-06", "2026-02-13"),
        ("2026-02-06", "2026-02-13", "2026-02-13"),  # said on a Friday
        ("2026-02-07", "2026-02-13", "2026-02-13"),
    ],
)
def test_weekdays_on_every_kind_of_day(now: str, friday: str, next_friday: str) -> None:
    assert say("friday", datetime.fromisoformat(now)) == friday
    assert say("next friday", datetime.fromisoformat(now)) == next_friday


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        the 14th           = 2026-02-14
        the 2nd            = 2026-03-02
        the 3rd            = 2026-03-03
        the 3rd at 5pm     = 2026-03-03 17:00
        the 31st           = 2026-03-31
        14 May             = 2026-05-14
        2 February         = 2027-02-02
        3 February         = 2027-02-03
        4 February         = 2026-02-04
        29 February        = 2028-02-29
        3 February 2026    = 2026-02-03
        1 January 2020     = 2020-01-01
    """),
)
def test_a_date_without_its_month_or_year_is_the_next_such_date(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        in the morning  = 2026-02-04 09:00
        this morning    = 2026-02-03 09:00
        noon            = 2026-02-03 12:00
        afternoon       = 2026-02-03 15:00
        this evening    = 2026-02-03 18:00
        tonight         = 2026-02-03 20:00
        end of day      = 2026-02-03 17:00
        eod friday      = 2026-02-06 17:00
        monday evening  = 2026-02-09 18:00
        friday night    = 2026-02-06 20:00
        first thing tomorrow  = 2026-02-04 09:00
        early on friday afternoon = 2026-02-06 15:00
    """),
)
def test_a_part_of_the_day_has_an_hour(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize("hour", range(1, 13))
def test_an_hour_without_am_or_pm(hour: int) -> None:
    expected = hour + 12 if hour <= 6 else hour
    assert parse_moment(f"tomorrow at {hour}", NOW).start == datetime(2026, 2, 4, expected)
    assert parse_moment(f"tomorrow at {hour}:30", NOW).start == datetime(2026, 2, 4, expected, 30)
    assert parse_moment(f"tomorrow at {hour % 12 or 12} am", NOW).start == datetime(2026, 2, 4, hour % 12)
    assert parse_moment(f"tomorrow at {hour}pm", NOW).start == datetime(2026, 2, 4, hour % 12 + 12)


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        8 tonight                = 2026-02-03 20:00
        at 8 in the evening      = 2026-02-03 20:00
        at 6 in the morning      = 2026-02-04 06:00
        tomorrow morning at 5    = 2026-02-04 05:00
        this afternoon at 4:40   = 2026-02-03 16:40
        friday night at 10       = 2026-02-06 22:00
        tonight at 12            = 2026-02-04 00:00
        tonight at 1             = 2026-02-04 01:00
        saturday night at 12:30  = 2026-02-08 00:30
        12 noon on friday        = 2026-02-06 12:00
        friday at midnight       = 2026-02-07 00:00
        12am friday              = 2026-02-06 00:00
    """),
)
def test_a_part_of_the_day_decides_between_am_and_pm(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        tomorrow at 15:30  = 2026-02-04 15:30
        tomorrow at 03:00  = 2026-02-04 03:00
        tomorrow at 3:00   = 2026-02-04 15:00
        tomorrow at 0:15   = 2026-02-04 00:15
        tomorrow at 0900   = 2026-02-04 09:00
        tomorrow at 0330   = 2026-02-04 03:30
        tomorrow at 1530   = 2026-02-04 15:30
        tomorrow at 19h30  = 2026-02-04 19:30
        tomorrow at 07h    = 2026-02-04 07:00
    """),
)
def test_24_hour_times_are_taken_as_written(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        at 11     = 2026-02-03 11:00
        at 10:20  = 2026-02-04 10:20
        at 10     = 2026-02-04 10:00
        at 4      = 2026-02-03 16:00
        at 7:15   = 2026-02-04 07:15
        midnight  = 2026-02-04 00:00
        4am       = 2026-02-04 04:00
    """),
)
def test_a_time_without_a_date_is_its_next_occurrence(said: str, meant: str) -> None:
    assert say(said) == meant


def test_today_at_an_hour_that_is_over_is_the_other_half_of_the_day() -> None:
    assert say("today at 8") == "2026-02-03 20:00"
    assert say("today at 8am") == "2026-02-03 08:00"
    assert say("today at 8", datetime(2026, 2, 3, 6)) == "2026-02-03 08:00"


def test_whole_days() -> None:
    day = parse_moment("on friday", NOW)
    assert (day.start, day.all_day, day.end) == (datetime(2026, 2, 6), True, None)
    days = parse_moment("14-16 May", NOW)
    assert (days.start, days.all_day) == (datetime(2026, 5, 14), True)
    assert days.end == datetime(2026, 5, 16, 23, 59, 59)


# Ways of saying it


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        half seven                        = 2026-02-04 07:30
        half past three                   = 2026-02-03 15:30
        quarter to nine                   = 2026-02-04 08:45
        a quarter past six                = 2026-02-03 18:15
        quarter of nine                   = 2026-02-04 08:45
        ten past four                     = 2026-02-03 16:10
        ten to four                       = 2026-02-03 15:50
        twenty-five to seven              = 2026-02-03 18:35
        ten minutes to six                = 2026-02-03 17:50
        quarter to one                    = 2026-02-03 12:45
        five to midnight                  = 2026-02-03 23:55
        seven fifteen                     = 2026-02-04 07:15
        two-thirty                        = 2026-02-03 14:30
        nine oh five                      = 2026-02-04 09:05
        six forty five pm                 = 2026-02-03 18:45
        eight o'clock                     = 2026-02-04 08:00
        eight a m                         = 2026-02-04 08:00
        5 p.m. on Friday.                 = 2026-02-06 17:00
        7.15pm                            = 2026-02-03 19:15
        830pm                             = 2026-02-03 20:30
        at 445                            = 2026-02-03 16:45
        1500 hours                        = 2026-02-03 15:00
        noonish                           = 2026-02-03 12:00
        7ish on thurs                     = 2026-02-05 07:00
        @ 5 sharp please                  = 2026-02-03 17:00
        no later than noon tomorrow       = 2026-02-04 12:00
        thursday nine o'clock             = 2026-02-05 09:00
    """),
)
def test_times_of_day(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        tmrw 6am                               = 2026-02-04 06:00
        2moro                                  = 2026-02-04
        2nite 9pm                              = 2026-02-03 21:00
        weds 4                                 = 2026-02-04 16:00
        thur 430                               = 2026-02-05 16:30
        tues nite                              = 2026-02-10 20:00
        thurs pm                               = 2026-02-05 15:00
        fri 9                                  = 2026-02-06 09:00
        wendsday at 3                          = 2026-02-04 15:00
        febuary 4                              = 2026-02-04
    """),
)
def test_typed_in_a_hurry(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        16 oct                                 = 2026-10-16
        June 3rd at noon                       = 2026-06-03 12:00
        the first of December                  = 2026-12-01
        on the twenty second at eleven         = 2026-02-22 11:00
        the twenty third                       = 2026-02-23
        on the twenty-third                    = 2026-02-23
        the twenty eighth at three             = 2026-02-28 15:00
        from five on the twenty sixth          = 2026-02-26 17:00
        the twenty third of May                = 2026-05-23
        the twentieth to the twenty third      = 2026-02-20 > 2026-02-23
        the 14 at 15h30                        = 2026-02-14 15:30
        Monday 9th February 2026 at 10.30am    = 2026-02-09 10:30
        Friday the 13th                        = 2026-02-13
        sat 14                                 = 2026-02-14
        fri 18                                 = 2026-02-06 18:00
        june fifth twenty twenty seven         = 2027-06-05
        3 june at 2030                         = 2026-06-03 20:30
        on 25/7                                = 2026-07-25
        7/25                                   = 2026-07-25
        5/6/26                                 = 2026-06-05
        on 22.06. at 11:00                     = 2026-06-22 11:00
        22.06 at 9                             = 2026-06-22 09:00
        christmas eve at 6                     = 2026-12-24 18:00
        the last friday of the month           = 2026-02-27
        first monday of june                   = 2026-06-01
        the second tuesday of next month       = 2026-03-10
        the 5th of next month                  = 2026-03-05
        the last day of february               = 2026-02-28
        end of the month                       = 2026-02-28
        mid march                              = 2026-03-15
        start of next month                    = 2026-03-01
        end of next week                       = 2026-02-13
        the day after tomorrow                 = 2026-02-05
        in 3 days                              = 2026-02-06
        in 3 days at 5                         = 2026-02-06 17:00
        in a fortnight                         = 2026-02-17
        in a month                             = 2026-03-03
        a week on Friday                       = 2026-02-13
        friday week                            = 2026-02-13
        a week from tomorrow at noon           = 2026-02-11 12:00
        the friday after next                  = 2026-02-20
        two days before christmas              = 2026-12-23
        yesterday                              = 2026-02-02
        last tuesday                           = 2026-01-27
        two days ago                           = 2026-02-01
        last night                             = 2026-02-02 20:00
    """),
)
def test_dates(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        in 20 minutes              = 2026-02-03 10:40
        in an hour and a half      = 2026-02-03 11:50
        in half an hour            = 2026-02-03 10:50
        in 2h                      = 2026-02-03 12:20
        in 45                      = 2026-02-03 11:05
        20 minutes                 = 2026-02-03 10:40
        an hour from now           = 2026-02-03 11:20
        an hour before noon        = 2026-02-03 11:00
        ten minutes before half three tomorrow = 2026-02-04 15:20
        now                        = 2026-02-03 10:20
        later                      = 2026-02-03 11:20
    """),
)
def test_counted_from_now_or_from_another_time(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        2-4pm                             = 2026-02-03 14:00 > 2026-02-03 16:00
        9-11pm friday                     = 2026-02-06 21:00 > 2026-02-06 23:00
        11 to 1                           = 2026-02-03 11:00 > 2026-02-03 13:00
        11-1pm                            = 2026-02-03 11:00 > 2026-02-03 13:00
        9 to 5 tomorrow                   = 2026-02-04 09:00 > 2026-02-04 17:00
        from 6 to 8 tomorrow              = 2026-02-04 18:00 > 2026-02-04 20:00
        from 8 to 10 tonight              = 2026-02-03 20:00 > 2026-02-03 22:00
        10 to 4                           = 2026-02-04 10:00 > 2026-02-04 16:00
        from ten to four                  = 2026-02-04 10:00 > 2026-02-04 16:00
        between 2 and 4 on friday         = 2026-02-06 14:00 > 2026-02-06 16:00
        thurs 4 to 445                    = 2026-02-05 16:00 > 2026-02-05 16:45
        friday 13-15                      = 2026-02-06 13:00 > 2026-02-06 15:00
        from 2 till half three on the 14th = 2026-02-14 14:00 > 2026-02-14 15:30
        10pm to 2am on friday             = 2026-02-06 22:00 > 2026-02-07 02:00
        saturday night from 11 to 1       = 2026-02-07 23:00 > 2026-02-08 01:00
        9pm to 10am tomorrow              = 2026-02-03 21:00 > 2026-02-04 10:00
        friday 6pm to sunday 5pm          = 2026-02-06 18:00 > 2026-02-08 17:00
        9am for an hour                   = 2026-02-04 09:00 > 2026-02-04 10:00
        from now until 5                  = 2026-02-03 10:20 > 2026-02-03 17:00
        sat-sun                           = 2026-02-07 > 2026-02-08
        saturday and sunday               = 2026-02-07 > 2026-02-08
        9-12 march                        = 2026-03-09 > 2026-03-12
        June 3 to 5                       = 2026-06-03 > 2026-06-05
        from the 3rd to the 5th of May    = 2026-05-03 > 2026-05-05
        the 30th to the 2nd of June       = 2026-05-30 > 2026-06-02
        28 dec to 3 jan                   = 2026-12-28 > 2027-01-03
        monday to wednesday next week     = 2026-02-09 > 2026-02-11
        friday for 3 days                 = 2026-02-06 > 2026-02-08
        this weekend                      = 2026-02-07 > 2026-02-08
        next weekend                      = 2026-02-14 > 2026-02-15
        next week                         = 2026-02-09 > 2026-02-15
        this week                         = 2026-02-03 > 2026-02-08
        in june                           = 2026-06-01 > 2026-06-30
    """),
)
def test_ranges(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        amanhã ao fim do dia            = 2026-02-04 17:00
        amanha                          = 2026-02-04
        depois de amanhã às 9h          = 2026-02-05 09:00
        sábado às 6 da manhã            = 2026-02-07 06:00
        quarta ao meio-dia e meia       = 2026-02-04 12:30
        domingo à noite                 = 2026-02-08 20:00
        terça de manhã                  = 2026-02-10 09:00
        segunda de manhã às 8           = 2026-02-09 08:00
        dia 10 do mês que vem           = 2026-03-10
        na segunda-feira às 11h         = 2026-02-09 11:00
        5ª feira às 10h30               = 2026-02-05 10:30
        sexta que vem                   = 2026-02-13
        na próxima terça às 3           = 2026-02-10 15:00
        terça da semana que vem         = 2026-02-10
        hoje às vinte e duas            = 2026-02-03 22:00
        às sete e meia da noite         = 2026-02-03 19:30
        quinze para as nove             = 2026-02-04 08:45
        nove menos um quarto            = 2026-02-04 08:45
        dia 22 às 14h                   = 2026-02-22 14:00
        1º de maio                      = 2026-05-01
        14 de maio de 2027              = 2027-05-14
        daqui a meia hora               = 2026-02-03 10:50
        daqui a 3 dias                  = 2026-02-06
        no fim do mês                   = 2026-02-28
        a última sexta do mês           = 2026-02-27
        das 14h às 15h30                = 2026-02-03 14:00 > 2026-02-03 15:30
        sexta das 9 às 11               = 2026-02-06 09:00 > 2026-02-06 11:00
        de 9 a 12 de março              = 2026-03-09 > 2026-03-12
        de segunda a quarta             = 2026-02-09 > 2026-02-11
        neste fim de semana             = 2026-02-07 > 2026-02-08
        ontem à noite                   = 2026-02-02 20:00
    """),
)
def test_portuguese(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        el martes que viene a las siete y media de la tarde = 2026-02-10 19:30
        mañana                          = 2026-02-04
        mañana por la mañana            = 2026-02-04 09:00
        manana a las 5                  = 2026-02-04 17:00
        a las 7 de la mañana            = 2026-02-04 07:00
        pasado mañana al mediodía       = 2026-02-05 12:00
        el viernes por la noche         = 2026-02-06 20:00
        el miércoles a las 20           = 2026-02-04 20:00
        a las ocho menos cuarto         = 2026-02-04 07:45
        un cuarto para las nueve        = 2026-02-04 08:45
        a la una y veinte               = 2026-02-03 13:20
        a las cuatro de la madrugada    = 2026-02-04 04:00
        el 18 a las 2                   = 2026-02-18 14:00
        el 3 de mayo                    = 2026-05-03
        martes 10 a las 3               = 2026-02-10 15:00
        el próximo lunes                = 2026-02-09
        dentro de 20 minutos            = 2026-02-03 10:40
        en una hora y media             = 2026-02-03 11:50
        el último viernes del mes       = 2026-02-27
        a finales de mes                = 2026-02-28
        esta noche                      = 2026-02-03 20:00
        esta tarde a las 6              = 2026-02-03 18:00
        de las 2 a las 4 de la tarde    = 2026-02-03 14:00 > 2026-02-03 16:00
        del 3 al 5 de mayo              = 2026-05-03 > 2026-05-05
        el fin de semana                = 2026-02-07 > 2026-02-08
        hace dos días                   = 2026-02-01
        el viernes at 3                 = 2026-02-06 15:00
    """),
)
def test_spanish(said: str, meant: str) -> None:
    assert say(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    cases("""
        the 5pm tomorrow              = 2026-02-04 17:00
        before the 3pm on Friday      = 2026-02-06 15:00
        on Friday in two weeks at 10  = 2026-02-20 10:00
        Dec. 5 at 3pm                 = 2026-12-05 15:00
        mid-April                     = 2026-04-15
        mid-May at 10                 = 2026-05-15 10:00
        half-past six on Monday       = 2026-02-09 18:30
        sexta à uma                   = 2026-02-06 13:00
        sexta-feira à uma da tarde    = 2026-02-06 13:00
        sexta das 11h à uma           = 2026-02-06 11:00 > 2026-02-06 13:00
        amanhã às 14h30min            = 2026-02-04 14:30
        às 14:30 horas                = 2026-02-03 14:30
        quinta 9-11h                  = 2026-02-05 09:00 > 2026-02-05 11:00
        sexta daqui a duas semanas    = 2026-02-20
        ainda hoje                    = 2026-02-03
        para el 20                    = 2026-02-20
        antes del 15                  = 2026-02-15
        un día antes del 15           = 2026-02-14
        a partir del 15               = 2026-02-15
        a las 17.30h                  = 2026-02-03 17:30
        el jueves a las 17:30 horas   = 2026-02-05 17:30
        jueves 9 am                   = 2026-02-05 09:00
        jueves 5pm                    = 2026-02-05 17:00
        hoy mismo a las 5             = 2026-02-03 17:00
    """),
)
def test_heard_in_requests(said: str, meant: str) -> None:
    assert say(said) == meant


def test_iso_dates_are_taken_as_written() -> None:
    assert parse_moment("2026-02-03 07:20:00", NOW) == Moment(datetime(2026, 2, 3, 7, 20), False, None)
    assert parse_moment("2026-02-03T07:20:45", NOW).start == datetime(2026, 2, 3, 7, 20, 45)
    assert parse_moment("2025-12-31", NOW) == Moment(datetime(2025, 12, 31), True, None)


# Ends and lengths


@pytest.mark.parametrize(
    ("start", "said", "end"),
    [
        ("tomorrow at 2", "5", "2026-02-04 17:00:00"),
        ("tomorrow at 11", "1", "2026-02-04 13:00:00"),
        ("tomorrow at 7pm", "9", "2026-02-04 21:00:00"),
        ("saturday at 11pm", "1", "2026-02-08 01:00:00"),
        ("tomorrow at 9", "until half three", "2026-02-04 15:30:00"),
        ("tomorrow at 9", "noon", "2026-02-04 12:00:00"),
        ("tonight", "10 am tomorrow", "2026-02-04 10:00:00"),
        ("tomorrow at 9", "90 minutes", "2026-02-04 10:30:00"),
        ("tomorrow at 9", "an hour and a half", "2026-02-04 10:30:00"),
        ("tomorrow at 9", "45", "2026-02-04 09:45:00"),
        ("dia 4 às 14h", "2h", "2026-02-04 16:00:00"),
        ("dia 4 às 14h", "18h", "2026-02-04 18:00:00"),
        ("dia 4 às 14h", "até as 16h30", "2026-02-04 16:30:00"),
        ("the 14th", "the 16th", "2026-02-16 23:59:59"),
        ("14 May", "16", "2026-05-16 23:59:59"),
        ("friday", "5", "2026-02-06 17:00:00"),
        ("fri", "sun", "2026-02-08 23:59:59"),
        ("next Monday", "next Friday", "2026-02-13 23:59:59"),
        ("28 December", "3 January", "2027-01-03 23:59:59"),
        ("friday", "two days", "2026-02-07 23:59:59"),
        ("sat 8pm", "sun 8am", "2026-02-08 08:00:00"),
        ("tomorrow at 9", "2026-02-04 09:30:00", "2026-02-04 09:30:00"),
    ],
)
def test_an_end_is_relative_to_its_start(start: str, said: str, end: str) -> None:
    assert parse_end(said, parse_moment(start, NOW), NOW) == datetime.fromisoformat(end)


def test_an_end_before_the_start_is_an_error() -> None:
    with pytest.raises(DateError, match="before the start"):
        parse_end("tomorrow", parse_moment("friday", NOW), NOW)


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        ("90", 90),
        ("45 min", 45),
        ("2h", 120),
        ("1h30", 90),
        ("1h 15m", 75),
        ("1:30", 90),
        ("1 hr 15", 75),
        ("1.5 hours", 90),
        ("an hour", 60),
        ("half an hour", 30),
        ("an hour and a half", 90),
        ("one and a half hours", 90),
        ("three quarters of an hour", 45),
        ("a quarter of an hour", 15),
        ("two hours and fifteen minutes", 135),
        ("a couple of hours", 120),
        ("forty five minutes", 45),
        ("30-minute", 30),
        ("about ninety mins", 90),
        ("uma hora e meia", 90),
        ("meia hora", 30),
        ("três quartos de hora", 45),
        ("duas horas", 120),
        ("hora y media", 90),
        ("media hora", 30),
        ("un cuarto de hora", 15),
        ("treinta y cinco minutos", 35),
        ("two weeks", 14 * 24 * 60),
    ],
)
def test_lengths(said: str, minutes: int) -> None:
    assert parse_duration(said) == timedelta(minutes=minutes)


# What is not understood


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("every monday", "'every'"),
        ("friday or saturday", "'or'"),
        ("not friday", "'not'"),
        ("3pm GMT", "'gmt'"),
        ("$2", r"'\$'"),
        ("weekly", "'weekly'"),
        ("five minutes before", "neither a day"),
        ("Thursday 13 March", "2026-03-13 is a Friday"),
        ("friday tomorrow", "2026-02-04 is a Wednesday"),
        ("saturday and monday", "do not follow"),
        ("31 june", "no such day"),
        ("29 feb 2027", "no such day"),
        ("2026-02-30", "no such day"),
        ("friday saturday", "do not make a time"),
        ("tomorrow at 25", "do not make a time"),
        ("", "neither a day"),
        ("in 999999 years", "out of range"),
        ("5 " * 100, "too long"),
    ],
)
def test_what_is_not_understood_is_named(said: str, what: str) -> None:
    with pytest.raises(DateError, match=what) as error:
        parse_moment(said, NOW)
    assert error.value.fix


@pytest.mark.parametrize("said", ["soon", "a month", "", "friday", "99 weeks hence", "0:x"])
def test_what_is_no_length(said: str) -> None:
    with pytest.raises(DateError):
        parse_duration(said)


# Properties

moments = st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1)).map(lambda now: now.replace(microsecond=0))
WORDS = """
    at on in for from to till between and the a next this last of past half quarter am pm noon tonight morning
    friday sun may june 14th 2 7 12 30 445 2030 7:30 22.06 15h30 2h 25/7 2026-02-03 minutes hours week month
    end - às da dia sexta que vem meia e para hora las y menos martes mañana
"""
words = st.sampled_from(WORDS.split())


@given(text=st.one_of(st.text(max_size=40), st.lists(words, max_size=9).map(" ".join)), now=moments)
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_time_or_a_date_error(text: str, now: datetime) -> None:
    with suppress(DateError):
        parse_moment(text, now)
    with suppress(DateError):
        parse_end(text, Moment(now, False, None), now)
    with suppress(DateError):
        parse_duration(text)


@given(text=st.lists(words, max_size=6).map(" ".join), now=moments)
@settings(max_examples=200, deadline=None)
def test_ends_come_after_their_starts(text: str, now: datetime) -> None:
    try:
        moment = parse_moment(text, now)
        end = parse_end(text, Moment(now, False, None), now)
    except DateError:
        return
    assert end >= now
    assert moment.end is None or moment.end >= moment.start


@given(hour=st.integers(0, 23), minute=st.integers(0, 59), now=moments)
@settings(max_examples=100, deadline=None)
def test_a_time_alone_is_within_the_next_day(hour: int, minute: int, now: datetime) -> None:
    for text in (f"{hour:02}:{minute:02}", f"at {hour}:{minute:02}", f"{hour}h{minute:02}"):
        assert now < parse_moment(text, now).start <= now + timedelta(days=1)


@given(date=moments, now=moments)
@settings(max_examples=100, deadline=None)
def test_what_was_resolved_once_stays_as_it_is(date: datetime, now: datetime) -> None:
    assert parse_moment(f"{date:%Y-%m-%d %H:%M:%S}", now) == Moment(date, False, None)
    day = datetime(date.year, date.month, date.day)
    assert parse_moment(f"{date:%Y-%m-%d}", now) == Moment(day, True, None)


# The requests that people wrote for the training corpus


def test_every_time_in_the_seeds_is_understood() -> None:
    for path in sorted(SEEDS.glob("s[1-8].jsonl")):
        for seed in map(json.loads, path.read_text("utf-8").splitlines()):
            for kind, said in seed["slots"].values():
                if kind in ("date", "datetime", "time"):
                    moment = parse_moment(said, NOW)
                    assert (moment.start > NOW, moment.all_day, moment.end) == (True, kind == "date", None), said
                if kind == "duration":
                    assert timedelta(minutes=1) <= parse_duration(said) <= timedelta(hours=12), said


def test_the_import_stays_light() -> None:
    code = "import sys, pipeline.dates; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"dateutil.parser", "dateutil.tz", "dateutil.rrule"} & set(loaded.split())

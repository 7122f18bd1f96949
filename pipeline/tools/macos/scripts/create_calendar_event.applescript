-- Adds an event. Arguments: position of the calendar (0 makes one), its name, start (6), end (6), whether it is for whole days,
-- title, place, notes, whether to look first for one that is there, invitees (counted). Answers how many invitees it has.
on run argv
	set thePosition to (item 1 of argv) as integer
	set theName to item 2 of argv
	set theStart to dateOf(argv, 3)
	set theEnd to dateOf(argv, 9)
	set isWholeDay to (item 15 of argv) is "yes"
	set theTitle to item 16 of argv
	set thePlace to item 17 of argv
	set theText to item 18 of argv
	set looksFirst to (item 19 of argv) is "yes"
	set theInvitees to listOf(argv, 20)
	set theFound to {}
	set theTaken to count of theInvitees
	tell application "Calendar"
		if thePosition is 0 then
			set theCalendar to make new calendar with properties {name:theName}
		else
			set theCalendar to calendar thePosition
			considering case
				if (name of theCalendar) is not theName then return "changed"
			end considering
		end if
		if looksFirst then
			set theFound to every event of theCalendar whose summary is theTitle and start date is theStart
		end if
		if (count of theFound) is 0 then
			set theEvent to make new event at end of events of theCalendar with properties {summary:theTitle, start date:theStart, end date:theEnd, allday event:isWholeDay, location:thePlace, description:theText}
			-- The event is there from here on: what goes wrong with invitees is told, and is no failure.
			repeat with theInvitee in theInvitees
				try
					make new attendee at end of attendees of theEvent with properties {email:(contents of theInvitee)}
				on error
					set theTaken to theTaken - 1
				end try
			end repeat
			try
				set theCount to count of attendees of theEvent
				if theCount < theTaken then set theTaken to theCount
			end try
		end if
	end tell
	return "done" & linefeed & (theTaken as text)
end run

-- The date that six of the arguments name, from a position on: no locale has a say.
on dateOf(theArguments, thePosition)
	set theDate to current date
	set day of theDate to 1 -- or a shorter month would run over
	set year of theDate to (item thePosition of theArguments) as integer
	set month of theDate to (item (thePosition + 1) of theArguments) as integer
	set day of theDate to (item (thePosition + 2) of theArguments) as integer
	set theHours to (item (thePosition + 3) of theArguments) as integer
	set theMinutes to (item (thePosition + 4) of theArguments) as integer
	set theSeconds to (item (thePosition + 5) of theArguments) as integer
	set time of theDate to theHours * hours + theMinutes * minutes + theSeconds
	return theDate
end dateOf

-- The list whose count stands at a position of the arguments, and its items after it.
on listOf(theArguments, thePosition)
	set theItems to {}
	set theCount to (item thePosition of theArguments) as integer
	repeat with i from 1 to theCount
		set end of theItems to item (thePosition + i) of theArguments
	end repeat
	return theItems
end listOf
